// <sysinfo>
import type { Fields } from '../element.ts'

export const sysinfoFields = {} satisfies Fields
