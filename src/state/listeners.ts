// Listeners of something. They do not know of each other: one that fails is logged, and the others hear all the same.

/** The part of a log failures go to; `console` is one. */
export interface FailureLog {
  error(values: object, message: string): void
}

export class Listeners<Args extends unknown[]> {
  readonly #all = new Set<(...args: Args) => void>()
  readonly #log: FailureLog

  constructor(log: FailureLog) {
    this.#log = log
  }

  get size(): number {
    return this.#all.size
  }

  /** Calls back from now on, until the returned function is called. */
  add(listener: (...args: Args) => void): () => void {
    this.#all.add(listener)
    return () => this.#all.delete(listener)
  }

  delete(listener: (...args: Args) => void): void {
    this.#all.delete(listener)
  }

  /** Tells those who listen now; who stops listening meanwhile hears no more. */
  tell(...args: Args): void {
    for (const listener of [...this.#all]) {
      if (!this.#all.has(listener)) continue
      try {
        listener(...args)
      } catch (error) {
        this.#log.error({ err: error }, 'a listener failed')
      }
    }
  }
}
