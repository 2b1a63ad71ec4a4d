// <clock> and its timers
import type { Fields } from '../element.ts'

export const clockFields = {} satisfies Fields
