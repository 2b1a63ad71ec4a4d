// Events of all guests for HTTP clients, numbered anew: one stream that a client can go on with where it was.
import { type DomainEvent, EventLog } from '../../state/events.ts'
import { eventsOf, type GuestEvents } from './events.ts'
import type { Registry } from './registry.ts'

/** A client that has lost its connection comes back within this time and misses nothing. */
const LINGER_MS = 30_000

export class HostEvents {
  readonly #source: GuestEvents
  /** ids are above those of an earlier aggregator: it would have had to give out a thousand a second */
  readonly #log = new EventLog(Date.now())
  #listeners = 0
  #stop: (() => void) | undefined
  #linger: NodeJS.Timeout | undefined

  constructor(source: GuestEvents) {
    this.#source = source
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

const known = new WeakMap<Registry, HostEvents>()

/** One for all clients. */
export function hostEventsOf(registry: Registry): HostEvents {
  const events = known.get(registry) ?? new HostEvents(eventsOf(registry))
  known.set(registry, events)
  return events
}
