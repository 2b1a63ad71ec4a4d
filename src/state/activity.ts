// Whether anybody is at work with this process: calls under way, clients connected, and how long ago the last was.

export class Activity {
  #holders = 0
  #lastMs = performance.now()

  /** Something happened. */
  touch(): void {
    this.#lastMs = performance.now()
  }

  /** Something goes on until the returned function is called, which may be called again. */
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

  /** Milliseconds since anything went on, 0 while something does. */
  get idleMs(): number {
    return this.#holders > 0 ? 0 : performance.now() - this.#lastMs
  }
}
