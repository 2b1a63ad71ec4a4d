// <memory>, <currentMemory>, <maxMemory>, <memtune>, <memoryBacking>
import type { Fields } from '../element.ts'

export const memoryFields = {} satisfies Fields
