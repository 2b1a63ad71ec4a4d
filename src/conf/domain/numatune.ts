// <numatune>
import type { Fields } from '../element.ts'

export const numatuneFields = {} satisfies Fields
