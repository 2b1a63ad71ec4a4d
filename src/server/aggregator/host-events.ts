// Events of all guests for HTTP clients, numbered anew: one stream that a client can go on with where it was.
import { type DomainEvent, EventLog } from '../../state/events.ts'
import type { FailureLog } from '../../state/listeners.ts'
import type { GuestEvents } from './events.ts'

/** A client that has lost its connection comes back within this time and misses nothing. */
const LINGER_MS = 30_000

export class HostEvents {
  readonly #source: GuestEvents
  /** ids are above those of an earlier aggregator: it would have had to give out a thousand a second */
  readonly #log: EventLog
  #listeners = 0
  #stop: (() => void) | undefined
  #linger: NodeJS.Timeout | undefined

  /** @param log told of listeners that fail */
  constructor(source: GuestEvents, log: FailureLog = console) {
    this.#source = source
    this.#log = new EventLog(Date.now(), log)
  }

  /** As EventLog.listen; settles when nothing from now on can be missed. */
  async listen(listener: (event: DomainEvent) => void, since: number | undefined): Promise<() => void> {
    this.#listeners++
    clearTimeout(this.#linger)
    this.#stop ??= this.#source.listen((dom, { event, data, timestampUs }) =>
      this.#log.add(event, { dom, ...data }, timestampUs)
    )
    await this.#source.listening()
    const stop = this.#log.listen(listener, since)
    return () => {
      stop()
      if (--this.#listeners > 0) return
      this.#linger = setTimeout(() => {
        this.#stop?.()
        this.#stop = undefined
      }, LINGER_MS).unref()
    }
  }
}
