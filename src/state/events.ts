// Domain events, in order, with a short memory so that a listener who lost its connection can go on where it was.

/** One event: libvirt's event id constant and its fields; `id` grows by one with each. */
export interface DomainEvent {
  id: number
  /** e.g. VIR_DOMAIN_EVENT_ID_LIFECYCLE */
  event: string
  timestampUs: number
  data: Record<string, unknown>
}

/** Events kept for resuming listeners. */
const KEPT = 1000

/** All events of one guest. */
export class EventLog {
  #nextId: number
  #kept: DomainEvent[] = []
  #listeners = new Set<(event: DomainEvent) => void>()

  /** @param firstId of the first event; a log that follows on another's goes on above its ids */
  constructor(firstId = 1) {
    this.#nextId = firstId
  }

  emit(event: string, data: Record<string, unknown>, timestampUs = Date.now() * 1000): void {
    const entry = { id: this.#nextId++, event, timestampUs, data }
    this.#kept.push(entry)
    if (this.#kept.length > KEPT) this.#kept.shift()
    for (const listener of [...this.#listeners]) listener(entry)
  }

  /** Calls back for each kept event after `lastId`, then for each new one, until the returned function is called. */
  listen(listener: (event: DomainEvent) => void, lastId = this.#nextId - 1): () => void {
    for (const event of this.#kept) if (event.id > lastId) listener(event)
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
