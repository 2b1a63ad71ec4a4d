// <cpu> and its <numa> cells
import type { Fields } from '../element.ts'

export const cpuFields = {} satisfies Fields
