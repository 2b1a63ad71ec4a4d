// Work that must not overlap with other work on the same names.

export class KeyedLock {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Runs it once all earlier work on any of these keys is over, however that went. */
  async run<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const before = keys.map(key => this.#last.get(key))
    const result = Promise.all(before).then(work)
    const over = result.catch(() => undefined)
    for (const key of keys) this.#last.set(key, over)
    try {
      return await result
    } finally {
      for (const key of keys) if (this.#last.get(key) === over) this.#last.delete(key)
    }
  }
}
