// A pace for what would be done too often: a few times at once, then as time allows.

/** Times at once; in no second there are more than twice as many. */
const BURST = 10
const MS_EACH = 100

export class Pace {
  #left = BURST
  #sinceMs: number

  constructor(nowMs = performance.now()) {
    this.#sinceMs = nowMs
  }

  /** Counts one more; gives the ms it has to wait. */
  next(nowMs = performance.now()): number {
    this.#left = Math.min(BURST, this.#left + (nowMs - this.#sinceMs) / MS_EACH) - 1
    this.#sinceMs = nowMs
    return Math.max(0, Math.ceil(-this.#left * MS_EACH))
  }
}
