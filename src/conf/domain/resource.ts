// <resource>
import type { Fields } from '../element.ts'

export const resourceFields = {} satisfies Fields
