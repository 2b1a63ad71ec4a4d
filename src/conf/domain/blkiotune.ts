// <blkiotune>
import type { Fields } from '../element.ts'

export const blkiotuneFields = {} satisfies Fields
