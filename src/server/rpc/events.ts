// Domain events to one RPC client: what it registered for, and each event as the message libvirt has for it.
import { virDomainEventID } from '../../conf/enums.ts'
import { errorsFrom } from '../../conf/error.ts'
import { formatJson } from '../../conf/json.ts'
import type { GuestHandle } from '../../drivers/connection.ts'
import type { QmpEvent } from '../../drivers/qemu/monitor/qmp.ts'
import type { RpcClient } from './client.ts'
import { writeFields } from './codec.ts'
import { QEMU_PROGRAM, REMOTE_PROGRAM } from './frame.ts'
import { eventLayout } from './procedures.ts'

const fail = errorsFrom('VIR_FROM_REMOTE')

/** Message of each event id with a callback id, and without for clients that registered the old way. */
const MESSAGES: Record<keyof typeof virDomainEventID, [withCallback: number, old?: number]> = {
  VIR_DOMAIN_EVENT_ID_LIFECYCLE: [318, 107],
  VIR_DOMAIN_EVENT_ID_REBOOT: [319, 169],
  VIR_DOMAIN_EVENT_ID_RTC_CHANGE: [320, 170],
  VIR_DOMAIN_EVENT_ID_WATCHDOG: [321, 171],
  VIR_DOMAIN_EVENT_ID_IO_ERROR: [322, 172],
  VIR_DOMAIN_EVENT_ID_GRAPHICS: [323, 173],
  VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON: [324, 195],
  VIR_DOMAIN_EVENT_ID_CONTROL_ERROR: [325, 224],
  VIR_DOMAIN_EVENT_ID_BLOCK_JOB: [326, 241],
  VIR_DOMAIN_EVENT_ID_DISK_CHANGE: [327, 248],
  VIR_DOMAIN_EVENT_ID_TRAY_CHANGE: [328, 268],
  VIR_DOMAIN_EVENT_ID_PMWAKEUP: [329, 269],
  VIR_DOMAIN_EVENT_ID_PMSUSPEND: [330, 270],
  VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE: [331, 276],
  VIR_DOMAIN_EVENT_ID_PMSUSPEND_DISK: [332, 292],
  VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: [333, 311],
  VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2: [339],
  VIR_DOMAIN_EVENT_ID_TUNABLE: [346],
  VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE: [348],
  VIR_DOMAIN_EVENT_ID_DEVICE_ADDED: [354],
  VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION: [359],
  VIR_DOMAIN_EVENT_ID_JOB_COMPLETED: [363],
  VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED: [367],
  VIR_DOMAIN_EVENT_ID_METADATA_CHANGE: [379],
  VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD: [385],
  VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE: [423],
  VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE: [438],
  VIR_DOMAIN_EVENT_ID_NIC_MAC_CHANGE: [453],
  VIR_DOMAIN_EVENT_ID_VCPU_REMOVED: [454],
  VIR_DOMAIN_EVENT_ID_CHANNEL_LIFECYCLE: [455]
}
const MONITOR_MESSAGE = 6

/** An event of a guest: libvirt's event id constant and its fields. */
export interface GuestEvent {
  event: string
  data: Readonly<Record<string, unknown>>
}

/** Source of the events of a connection's guests. The result of `listen` ends it. */
export interface EventSource {
  listen(listener: (guest: GuestHandle, event: GuestEvent) => void): () => void
  /** QEMU's own events, of one guest or of all */
  listenMonitor(listener: (guest: GuestHandle, event: QmpEvent) => void, uuid: string | undefined): () => void
  /** settles when no event from now on can be missed; absent: none can */
  listening?(): Promise<void>
}

interface Subscription {
  eventID: number
  /** uuid of the one guest it is for */
  uuid?: string
  /** by event id alone, without callback id */
  old: boolean
}

/** Registrations of one client. Callback ids are its own. */
export class EventSubscriptions {
  readonly #source: EventSource
  readonly #client: RpcClient
  readonly #subscriptions = new Map<number, Subscription>()
  /** ends of the registrations for QEMU's own events */
  readonly #monitor = new Map<number, () => void>()
  #nextId = 0
  #stop: (() => void) | undefined

  constructor(source: EventSource, client: RpcClient) {
    this.#source = source
    this.#client = client
  }

  /** Settles when no event from now on can be missed. */
  async listening(): Promise<void> {
    await this.#source.listening?.()
  }

  /** @returns the callback id @throws VIR_ERR_INTERNAL_ERROR for an event id libvirt does not have */
  register(eventID: number, uuid?: string, old = false): number {
    if (!Object.values(virDomainEventID).includes(eventID as never)) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `unsupported event ID ${eventID}`)
    }
    if (old && this.#old(eventID) !== undefined) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `domain event ${eventID} already registered`)
    }
    this.#stop ??= this.#source.listen((guest, event) => this.#deliver(guest, event))
    const id = this.#nextId++
    this.#subscriptions.set(id, { eventID, uuid, old })
    return id
  }

  /** @throws VIR_ERR_INTERNAL_ERROR when there is no such registration */
  deregister(id: number): void {
    if (!this.#subscriptions.delete(id)) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `domain event callback ${id} not registered`)
    }
  }

  /** Ends an old-style registration. @throws VIR_ERR_INTERNAL_ERROR when there is none */
  deregisterOld(eventID: number): void {
    const id = this.#old(eventID)
    if (id === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', `domain event ${eventID} not registered`)
    this.#subscriptions.delete(id)
  }

  #old(eventID: number): number | undefined {
    return [...this.#subscriptions].find(([, one]) => one.old && one.eventID === eventID)?.[0]
  }

  /** QEMU's own events by name, of one guest or of all. @returns the callback id */
  registerMonitor(matches: (event: string) => boolean, uuid?: string): number {
    const id = this.#nextId++
    const { args } = eventLayout(QEMU_PROGRAM, MONITOR_MESSAGE)
    const stop = this.#source.listenMonitor((dom, { event, data, timestampUs }) => {
      if (!matches(event)) return
      const details = data && Object.keys(data).length > 0 ? formatJson(data) : undefined
      const seconds = Math.floor(timestampUs / 1e6)
      const fields = { callbackID: id, dom, event, seconds, micros: timestampUs % 1e6, details }
      this.#client.event(QEMU_PROGRAM, MONITOR_MESSAGE, to => writeFields(args, fields, to))
    }, uuid)
    this.#monitor.set(id, stop)
    return id
  }

  deregisterMonitor(id: number): void {
    const stop = this.#monitor.get(id)
    if (!stop) throw fail('VIR_ERR_INTERNAL_ERROR', `qemu monitor event callback ${id} not registered`)
    stop()
    this.#monitor.delete(id)
  }

  clear(): void {
    this.#stop?.()
    this.#stop = undefined
    this.#subscriptions.clear()
    for (const stop of this.#monitor.values()) stop()
    this.#monitor.clear()
  }

  #deliver(dom: GuestHandle, { event, data }: GuestEvent): void {
    const eventID = virDomainEventID[event as keyof typeof virDomainEventID]
    for (const [callbackID, { eventID: wanted, uuid, old }] of this.#subscriptions) {
      if (wanted !== eventID || (uuid !== undefined && uuid !== dom.uuid)) continue
      const [withCallback, without] = MESSAGES[event as keyof typeof virDomainEventID]
      const procedure = old ? without : withCallback
      if (procedure === undefined) continue
      const { args } = eventLayout(REMOTE_PROGRAM, procedure)
      const fields = { callbackID, dom, ...data }
      this.#client.event(REMOTE_PROGRAM, procedure, to => writeFields(args, fields, to))
    }
  }
}
