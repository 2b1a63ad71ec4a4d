// The writing side of a connection over which another process passes files: what else is to be written waits meanwhile,
// so that each file comes right behind what it belongs to.
import type { Writable } from 'node:stream'

export class OrderedWriter {
  readonly #to: Writable
  #held: (string | Uint8Array)[] | undefined
  #heldBytes = 0
  #turn: Promise<void> = Promise.resolve()

  constructor(to: Writable) {
    this.#to = to
  }

  /** Bytes that wait to be sent. */
  get length(): number {
    return this.#to.writableLength + this.#heldBytes
  }

  write(data: string | Uint8Array): void {
    if (this.#to.destroyed) return
    if (!this.#held) return void this.#to.write(data)
    this.#held.push(data)
    this.#heldBytes += data.length
  }

  /** Writes `head` and has `pass` pass files behind it, after those under way; settles as `pass` does. */
  pass(head: string | Uint8Array, pass: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(async () => {
      this.#held = []
      try {
        this.#to.write(head)
        await pass()
      } finally {
        const held = this.#held
        this.#held = undefined
        this.#heldBytes = 0
        for (const data of held) this.write(data)
      }
    })
    this.#turn = turn.catch(() => undefined)
    return turn
  }
}
