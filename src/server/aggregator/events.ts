// Events of all guests in one stream. Shims are listened to only while somebody listens here.
//
// A guest that was there when listening began is followed from then on; of a shim that came later nothing is missed,
// its events are asked for from the first.
import { existsSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { parseJson } from '../../conf/json.ts'
import type { GuestHandle } from '../../drivers/connection.ts'
import type { QmpEvent } from '../../drivers/qemu/monitor/qmp.ts'
import { type FailureLog, Listeners } from '../../state/listeners.ts'
import type { Report } from '../report.ts'
import { readFields } from '../rpc/codec.ts'
import type { EventSource, GuestEvent } from '../rpc/events.ts'
import { QEMU_PROGRAM, readerOf } from '../rpc/frame.ts'
import { Link } from '../rpc/link.ts'
import type { ArgsIn } from '../rpc/notation.ts'
import { eventLayout, findProcedure } from '../rpc/procedures.ts'
import type { QEMU_EVENTS } from '../rpc/remote-protocol.ts'
import type { Changes } from './changes.ts'
import { EventStream, type StreamedEvent } from './event-stream.ts'
import type { KnownGuest, Registry } from './registry.ts'

/** Listening to a shim begins within this time, or is not waited for. */
const BEGIN_LIMIT_MS = 1000
const RETRY_MS = 100
/** Time a shim that is gone is still listened to; its end of the connection closes with it. */
const DRAIN_MS = 1000

const MONITOR_REGISTER = 4
const MONITOR_EVENT = 6
type MonitorEvent = ArgsIn<(typeof QEMU_EVENTS)[typeof MONITOR_EVENT]>

/** The libvirt socket beside a shim's API socket, as reached from here. */
export function libvirtSocketOf({ socket }: Pick<KnownGuest, 'socket'>): string | undefined {
  // nowhere else, whatever it says: somebody else may listen there
  if (socket === undefined || basename(socket) !== 'api.sock') return undefined
  const beside = join(dirname(socket), 'libvirt-sock')
  return existsSync(beside) || !existsSync(socket) ? beside : join(dirname(realpathSync(socket)), 'libvirt-sock')
}

/** A process that serves a guest: what listening is about, however many sockets lead to it. None passes for one of ours. */
const shimOf = ({ isOwn }: KnownGuest, { uuid, pids }: Report) => `${isOwn ? 'own ' : ''}${uuid} ${pids.shim}`

/** Arguments of a listener. */
type Told = [guest: GuestHandle, event: GuestEvent & { timestampUs: number }]

/** A shim that is followed, until `close` is called. */
interface Following {
  begun: Promise<void>
  close(): void
}

export class GuestEvents implements EventSource {
  readonly #registry: Registry
  readonly #changes: Changes
  readonly #listeners: Listeners<Told>
  readonly #following: ShimFollower
  #begun: Promise<unknown> = Promise.resolve()

  /** @param log told of listeners that fail */
  constructor(registry: Registry, changes: Changes, log: FailureLog = console) {
    this.#registry = registry
    this.#changes = changes
    this.#listeners = new Listeners(log)
    this.#following = new ShimFollower(registry, (guest, isNew) => this.#follow(guest, isNew ? 0 : undefined))
  }

  listen(listener: (...told: Told) => void): () => void {
    const stop = this.#listeners.add(listener)
    if (this.#listeners.size === 1) this.#begun = this.#following.start()
    return () => {
      stop()
      if (this.#listeners.size === 0) this.#following.stop()
    }
  }

  /** Settles when no event from now on can be missed. */
  async listening(): Promise<void> {
    await Promise.race([this.#begun, new Promise(resolve => setTimeout(resolve, BEGIN_LIMIT_MS).unref())])
  }

  #follow(guest: KnownGuest, since: number | undefined): Following {
    const { uuid } = guest.report
    let last = since
    let retry: NodeJS.Timeout | undefined
    let stream: EventStream
    const open = () => {
      stream = new EventStream(guest.socket!, last, {
        event: event => {
          last = event.id
          if (this.#isOf(guest, uuid, event)) this.#deliver(event)
        },
        ended: () => {
          // the shim may only have closed the connection
          retry = setTimeout(() => {
            if (this.#following.has(guest)) open()
          }, RETRY_MS)
        }
      })
      return stream.begun
    }
    return {
      begun: open(),
      close() {
        clearTimeout(retry)
        stream.close()
      }
    }
  }

  /** True for an event of the shim's own guest, which is not somebody else's. */
  #isOf(guest: KnownGuest, uuid: string, { dom }: StreamedEvent): boolean {
    const meant = this.#registry.byUuid(uuid)
    return dom.uuid === uuid && (!meant || meant === guest || meant.socketId === guest.socketId)
  }

  #deliver({ dom, event, data, timestampUs }: StreamedEvent): void {
    if (event === 'VIR_DOMAIN_EVENT_ID_LIFECYCLE') this.#changes.heard(dom.uuid)
    this.#listeners.tell(dom, { event, data, timestampUs })
  }

  listenMonitor(listener: (guest: GuestHandle, event: QmpEvent) => void, uuid: string | undefined): () => void {
    const followers = new ShimFollower(this.#registry, guest =>
      uuid === undefined || uuid === guest.report.uuid ? followMonitor(guest, listener) : undefined
    )
    void followers.start()
    return () => followers.stop()
  }
}

/** Follows every shim there is, and every one that comes. */
class ShimFollower {
  readonly #registry: Registry
  readonly #follow: (guest: KnownGuest, isNew: boolean) => Following | undefined
  readonly #shims = new Map<string, Following | undefined>()
  readonly #onGuest = (guest: KnownGuest, before: Report | undefined) => {
    if (before) this.#dropUnlessThere(guest, before)
    void this.#consider(guest, true)
  }
  readonly #onGone = (guest: KnownGuest) => this.#dropUnlessThere(guest, guest.report)

  constructor(registry: Registry, follow: (guest: KnownGuest, isNew: boolean) => Following | undefined) {
    this.#registry = registry
    this.#follow = follow
  }

  /** Settles when all shims that are there are listened to. */
  async start(): Promise<void> {
    this.#registry.on('guest', this.#onGuest)
    this.#registry.on('gone', this.#onGone)
    await Promise.all(Array.from(this.#registry.guests(), guest => this.#consider(guest, false)))
  }

  stop(): void {
    this.#registry.off('guest', this.#onGuest)
    this.#registry.off('gone', this.#onGone)
    for (const following of this.#shims.values()) following?.close()
    this.#shims.clear()
  }

  /** True for a shim that is one of those that are there. */
  has(guest: KnownGuest): boolean {
    return this.#shims.has(shimOf(guest, guest.report))
  }

  #consider(guest: KnownGuest, isNew: boolean): Promise<void> | undefined {
    const { socket, report, unreachableSince } = guest
    if (socket === undefined || report.pids.shim === null || unreachableSince !== undefined) return undefined
    const key = shimOf(guest, report)
    if (this.#shims.has(key) || !this.#registry.isListed(guest)) return undefined
    const following = this.#follow(guest, isNew)
    this.#shims.set(key, following)
    return following?.begun
  }

  /** Forgets the shim that gave this report, if it is at no place any more. */
  #dropUnlessThere(guest: KnownGuest, before: Report): void {
    const key = shimOf(guest, before)
    const isThere = (one: KnownGuest) => shimOf(one, one.report) === key
    if (!this.#shims.has(key) || this.#registry.withUuid(before.uuid).some(isThere)) return
    const following = this.#shims.get(key)
    this.#shims.delete(key)
    // that it is gone may be known before its last events have been read
    setTimeout(() => following?.close(), DRAIN_MS).unref()
  }
}

/** QEMU's own events of one guest, by RPC. */
function followMonitor(guest: KnownGuest, listener: (guest: GuestHandle, event: QmpEvent) => void): Following {
  const { args } = eventLayout(QEMU_PROGRAM, MONITOR_EVENT)
  const { name } = guest.report
  const link = new Link(
    {
      socket: libvirtSocketOf(guest)!,
      uri: 'qemu:///system',
      readOnly: false,
      what: `the daemon of domain '${name}'`
    },
    {
      frame(frame) {
        if (frame.program !== QEMU_PROGRAM || frame.procedure !== MONITOR_EVENT) return
        const { dom, event, seconds, micros, details } = readFields<MonitorEvent>(args, readerOf(frame))
        const timestampUs = Number(seconds) * 1e6 + micros
        listener(dom, {
          event,
          timestampUs,
          data: details === undefined ? {} : (parseJson(details) as QmpEvent['data'])
        })
      },
      ended: () => undefined
    }
  )
  const register = async () => {
    await link.opened()
    const layout = findProcedure(QEMU_PROGRAM, MONITOR_REGISTER)!
    await link.call({ program: QEMU_PROGRAM, procedure: MONITOR_REGISTER, layout }, { flags: 0 })
  }
  return { begun: register().catch(() => undefined), close: () => link.close() }
}
