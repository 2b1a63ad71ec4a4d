// <qemu:commandline>, <qemu:capabilities>, <qemu:override>, <qemu:deprecation>
import type { Fields } from '../element.ts'

export const qemuNamespaceFields = {} satisfies Fields
