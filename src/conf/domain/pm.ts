// <pm>
import type { Fields } from '../element.ts'

export const pmFields = {} satisfies Fields
