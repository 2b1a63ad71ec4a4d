// <perf>
import type { Fields } from '../element.ts'

export const perfFields = {} satisfies Fields
