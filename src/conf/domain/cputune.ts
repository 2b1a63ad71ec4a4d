// <cputune>
import type { Fields } from '../element.ts'

export const cputuneFields = {} satisfies Fields
