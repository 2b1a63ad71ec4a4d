// Activity with this process, calls under way and clients connected, and the time since the last: idle shims end.

export class Activity {
  #holders = 0
  #lastMs = performance.now()

  /** Counts something that is over at once. */
  touch(): void {
    this.#lastMs = performance.now()
  }

  /** Counts something that lasts until the returned function is called; calling that again does nothing. */
  hold(): () => void {
    let held = true
    this.#holders++
    this.touch()
    return () => {
      if (!held) return
      held = false
      this.#holders--
      this.touch()
    }
  }

  /** Milliseconds since the last activity, 0 during one. */
  get idleMs(): number {
    return this.#holders > 0 ? 0 : performance.now() - this.#lastMs
  }
}
