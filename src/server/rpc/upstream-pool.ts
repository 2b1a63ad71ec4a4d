// The daemons one client has calls with, each connected once.
import type { Frame } from './frame.ts'
import type { Upstream } from './upstream.ts'

interface Entry {
  opening: Promise<Upstream | undefined>
  upstream?: Upstream
  isExpired?: boolean
}

export class UpstreamPool {
  readonly #entries = new Map<string, Entry>()

  /** The connection to a daemon; `open` makes it if there is none, or gives undefined where there is no such daemon. */
  get<T extends Upstream | undefined>(key: string, open: () => Promise<T>): Promise<T> {
    const known = this.#entries.get(key)
    if (known && !known.isExpired && !known.upstream?.isClosed) return known.opening as Promise<T>
    known?.upstream?.close()
    const opening = open()
    const entry: Entry = { opening }
    this.#entries.set(key, entry)
    const forget = () => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
    }
    opening.then(upstream => {
      if (upstream) entry.upstream = upstream
      else forget()
    }, forget)
    return opening
  }

  /** The daemon there is the last one's no more: what comes next goes to another. What is under way goes on until then. */
  expire(key: string): void {
    const entry = this.#entries.get(key)
    if (entry) entry.isExpired = true
  }

  /** Closes connections on which nothing has been under way since then. */
  closeIdle(sinceMs: number): void {
    for (const [key, { upstream }] of this.#entries) {
      if (!upstream?.isClosed && !upstream?.isIdle(sinceMs)) continue
      upstream.close()
      this.#entries.delete(key)
    }
  }

  close(): void {
    for (const { upstream } of this.#entries.values()) upstream?.close()
  }

  /** @returns whether the stream is with one of these daemons */
  passStream(frame: Frame): boolean {
    for (const { upstream } of this.#entries.values()) if (upstream?.passStream(frame)) return true
    return false
  }

  /** One of them has more to take than it does. */
  get isBusy(): boolean {
    for (const { upstream } of this.#entries.values()) if (upstream?.isBusy) return true
    return false
  }

  /** Bytes waiting for the client have changed. */
  pace(backlog: number): void {
    for (const { upstream } of this.#entries.values()) upstream?.pace(backlog)
  }
}
