// <idmap>
import type { Fields } from '../element.ts'

export const idmapFields = {} satisfies Fields
