// Domain events, in order, with a short memory so that a listener who lost its connection can go on where it was.
import { formatJson } from '../conf/json.ts'
import type { TypedParams } from '../conf/wire.ts'
import { type FailureLog, Listeners } from './listeners.ts'

/** libvirt's domain handle. */
interface GuestHandle {
  name: string
  uuid: string
  id: number
}

interface GraphicsAddress {
  /** virDomainEventGraphicsAddressType */
  family: number
  node: string
  service: string
}

/** Fields of each event, by libvirt's constant; they have the names they have in libvirt's protocol. */
export interface EventFields {
  VIR_DOMAIN_EVENT_ID_LIFECYCLE: { event: number; detail: number }
  VIR_DOMAIN_EVENT_ID_REBOOT: Record<string, never>
  /** seconds */
  VIR_DOMAIN_EVENT_ID_RTC_CHANGE: { utcoffset: bigint }
  VIR_DOMAIN_EVENT_ID_WATCHDOG: { action: number }
  VIR_DOMAIN_EVENT_ID_IO_ERROR: { srcPath: string; devAlias: string; action: number }
  VIR_DOMAIN_EVENT_ID_GRAPHICS: {
    phase: number
    local: GraphicsAddress
    remote: GraphicsAddress
    authScheme: string
    subject: { type: string; name: string }[]
  }
  VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON: { srcPath: string; devAlias: string; action: number; reason: string }
  VIR_DOMAIN_EVENT_ID_CONTROL_ERROR: Record<string, never>
  VIR_DOMAIN_EVENT_ID_BLOCK_JOB: { path: string; type: number; status: number }
  VIR_DOMAIN_EVENT_ID_DISK_CHANGE: { oldSrcPath?: string; newSrcPath?: string; devAlias: string; reason: number }
  VIR_DOMAIN_EVENT_ID_TRAY_CHANGE: { devAlias: string; reason: number }
  VIR_DOMAIN_EVENT_ID_PMWAKEUP: { reason: number }
  VIR_DOMAIN_EVENT_ID_PMSUSPEND: { reason: number }
  /** KiB */
  VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE: { actual: number }
  VIR_DOMAIN_EVENT_ID_PMSUSPEND_DISK: { reason: number }
  VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: { devAlias: string }
  VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2: { dst: string; type: number; status: number }
  VIR_DOMAIN_EVENT_ID_TUNABLE: { params: TypedParams }
  VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE: { state: number; reason: number }
  VIR_DOMAIN_EVENT_ID_DEVICE_ADDED: { devAlias: string }
  VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION: { iteration: number }
  VIR_DOMAIN_EVENT_ID_JOB_COMPLETED: { params: TypedParams }
  VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED: { devAlias: string }
  VIR_DOMAIN_EVENT_ID_METADATA_CHANGE: { type: number; nsuri?: string }
  /** bytes */
  VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD: { dev: string; path?: string; threshold: bigint; excess: bigint }
  VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE: { recipient: number; action: number; flags: number }
  /** KiB */
  VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE: { alias: string; size: number }
  VIR_DOMAIN_EVENT_ID_NIC_MAC_CHANGE: { alias: string; oldMAC: string; newMAC: string }
  VIR_DOMAIN_EVENT_ID_VCPU_REMOVED: { vcpuid: number }
  VIR_DOMAIN_EVENT_ID_CHANNEL_LIFECYCLE: { channelName: string; state: number; reason: number }
}

/** One event: libvirt's event id constant and its fields; `id` grows by one with each. */
export interface DomainEvent {
  id: number
  /** e.g. VIR_DOMAIN_EVENT_ID_LIFECYCLE */
  event: string
  timestampUs: number
  data: Record<string, unknown>
}

/** Events kept for resuming listeners, and the characters of JSON they have together at most. */
const KEPT = 1000
const KEPT_LENGTH = 1024 * 1024
/** A text in an event, as QEMU, guests and VNC clients fill it, is cut at this; longest is a path (PATH_MAX). */
const TEXT_MAX = 4096

/** The same with no text too long. */
function shortened(value: unknown): unknown {
  if (typeof value === 'string') return value.length > TEXT_MAX ? copied(value.slice(0, TEXT_MAX)) : value
  if (Array.isArray(value)) return value.map(shortened)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, shortened(inner)]))
}

/** A string of its own: part of another keeps all of that in memory. */
const copied = (text: string) => Buffer.from(text).toString()

/** All events of one guest. */
export class EventLog {
  #nextId: number
  #kept: { entry: DomainEvent; length: number }[] = []
  #keptLength = 0
  readonly #listeners: Listeners<[DomainEvent]>

  /**
   * @param firstId of the first event; a log that follows on another's goes on above its ids
   * @param log told of listeners that fail
   */
  constructor(firstId = 1, log: FailureLog = console) {
    this.#nextId = firstId
    this.#listeners = new Listeners(log)
  }

  /** Something happened to this process's guest; `dom` names it where its present name or id is not the one meant. */
  emit<E extends keyof EventFields>(
    event: E,
    data: EventFields[E] & { dom?: GuestHandle },
    timestampUs?: number
  ): void {
    this.add(event, data, timestampUs)
  }

  /** As emit, for an event as it came from elsewhere. */
  add(event: string, data: Record<string, unknown>, timestampUs = Date.now() * 1000): void {
    const entry = { id: this.#nextId++, event, timestampUs, data: shortened(data) as typeof data }
    this.#keep(entry)
    this.#listeners.tell(entry)
  }

  #keep(entry: DomainEvent): void {
    const { length } = formatJson(entry)
    this.#kept.push({ entry, length })
    this.#keptLength += length
    while (this.#kept.length > KEPT || this.#keptLength > KEPT_LENGTH) this.#keptLength -= this.#kept.shift()!.length
  }

  /** Calls back for each kept event after `lastId`, then for each new one, until the returned function is called. */
  listen(listener: (event: DomainEvent) => void, lastId = this.#nextId - 1): () => void {
    for (const { entry } of [...this.#kept]) if (entry.id > lastId) listener(entry)
    return this.#listeners.add(listener)
  }
}
