// Guests that clients of ours have changed, or heard of a change of, since their shims were asked last: what is known of
// them is brought up to date before anybody is told of it. A client that asks after another one's call is over is told
// what that call has done, whichever connections the two have.

interface Change {
  /** calls that are not over */
  underWay: number
  /** grows with the end of every call, and with every word of a change */
  version: number
  /** the last time the shim was asked, and what was so then */
  asked?: { version: number; done: Promise<void> }
}

export class Changes {
  readonly #ask: (uuid: string) => Promise<unknown>
  readonly #guests = new Map<string, Change>()

  /** @param ask brings what is known of the guest of that uuid up to date; settles within a limit, however that went */
  constructor(ask: (uuid: string) => Promise<unknown>) {
    this.#ask = ask
  }

  /**
   * A call that may change a guest begins.
   * @returns is to be called when its client has the reply, or never will
   */
  begin(uuid: string): () => void {
    this.#changeOf(uuid).underWay++
    return () => {
      const change = this.#changeOf(uuid)
      change.underWay--
      change.version++
    }
  }

  /** A client of ours hears of a change. */
  heard(uuid: string): void {
    this.#changeOf(uuid).version++
  }

  /** What is known of the guest may be behind what a client of ours knows. */
  has(uuid: string): boolean {
    return this.#guests.has(uuid)
  }

  /** Settles when all of it is in what is known. Whoever waits for the same shares the answer. */
  async settled(): Promise<void> {
    if (this.#guests.size === 0) return
    await Promise.all(Array.from(this.#guests, ([uuid, change]) => this.#bringUpToDate(uuid, change)))
  }

  #bringUpToDate(uuid: string, change: Change): Promise<void> {
    const { version } = change
    if (change.asked?.version === version) return change.asked.done
    const done = this.#ask(uuid).then(() => {
      // a shim that does not answer has had its time: its guest is as it was known last
      if (change.underWay === 0 && change.version === version) this.#guests.delete(uuid)
    })
    change.asked = { version, done }
    return done
  }

  #changeOf(uuid: string): Change {
    let change = this.#guests.get(uuid)
    if (!change) {
      change = { underWay: 0, version: 0 }
      this.#guests.set(uuid, change)
    }
    return change
  }
}
