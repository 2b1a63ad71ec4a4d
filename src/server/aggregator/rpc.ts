// libvirt's protocol on the aggregator. What concerns the connection is answered here from what is known of all guests;
// a call on a guest goes to the guest's shim as it came, and so do the calls of other drivers to their daemons.
import { setTimeout as sleep } from 'node:timers/promises'
import { fieldsFromJson } from '../../conf/wire.ts'
import type { GuestHandle } from '../../drivers/connection.ts'
import { findMethod } from '../../drivers/qemu/index.ts'
import { factOf } from '../dispatch.ts'
import type { Reply } from '../rpc/client.ts'
import { readFields, writeFields } from '../rpc/codec.ts'
import { Connection, type Guests } from '../rpc/connection.ts'
import { type Frame, readerOf } from '../rpc/frame.ts'
import { guestOf, type Procedure } from '../rpc/procedures.ts'
import { serveRpc } from '../rpc/server.ts'
import { Upstream } from '../rpc/upstream.ts'
import { UpstreamPool } from '../rpc/upstream-pool.ts'
import type { XdrReader } from '../rpc/xdr.ts'
import type { Service } from '../sockets.ts'
import type { Aggregator } from './aggregator.ts'
import { libvirtSocketOf } from './events.ts'
import { fromReport, isInReport } from './from-report.ts'
import type { KnownGuest } from './registry.ts'
import { servedBy } from './rows.ts'
import { SecondaryDrivers, type SecondaryOptions } from './secondary.ts'

/** Connections to shims that nobody has used for so long are closed: an idle shim may want to end. */
const IDLE_MS = 10_000
/** A shim that has just ended, or is about to listen, is tried again for so long. */
const REACH_LIMIT_MS = 5000
const REACH_RETRY_MS = 50

/** @throws Error that is no answer: what a shim says goes to the client as it is */
function unheard(error: Error): never {
  throw new Error(error.message, { cause: error })
}

/** Serves clients of the aggregator's libvirt sockets. */
export async function createRpc(
  aggregator: Aggregator,
  secondary: SecondaryOptions,
  readOnly: boolean
): Promise<Service> {
  const served = servedBy(aggregator)
  const events = await aggregator.events()
  return serveRpc(aggregator.log, client => {
    const guests = (connection: Connection) => new ForwardedGuests(aggregator, secondary, connection)
    const directory = () => aggregator.layout.root.dir
    return new Connection({ served, events, client, readOnly, guests, directory })
  })
}

/** True for a call whose work ends with its client's connection: that with the shim is as good, as long as it is open. */
function isTied({ api, first, others }: Procedure, frame: Frame): boolean {
  const method = findMethod(api)
  const isTied = method?.tied ?? method?.keeps
  if (!isTied) return false
  const from = readerOf(frame)
  readFields(first, from)
  return isTied(readFields(others, from))
}

/** The guests of all shims, as one client has to do with them: its calls go to their daemons. */
class ForwardedGuests implements Guests {
  readonly #aggregator: Aggregator
  readonly #connection: Connection
  readonly #shims = new UpstreamPool()
  readonly #daemons = new UpstreamPool()
  readonly #secondary: SecondaryDrivers
  #sweep: NodeJS.Timeout | undefined

  constructor(aggregator: Aggregator, secondary: SecondaryOptions, connection: Connection) {
    this.#aggregator = aggregator
    this.#connection = connection
    this.#secondary = new SecondaryDrivers(connection.client, secondary, this.#daemons)
    aggregator.registry.on('gone', this.#gone)
  }

  /** A guest that gets the uuid of one that is gone has another shim. */
  readonly #gone = ({ report: { uuid } }: KnownGuest): void => {
    if (!this.has(uuid)) this.#shims.expire(uuid)
  }

  has(uuid: string): boolean {
    return this.#aggregator.registry.byUuid(uuid) !== undefined
  }

  call(procedure: Procedure, frame: Frame): Reply | Promise<Reply> {
    const from = readerOf(frame)
    const guest = guestOf(procedure, readFields(procedure.first, from))
    const known = this.#fromReport(procedure, from, guest)
    if (known) return { write: to => writeFields(procedure.ret, known, to) }
    if (findMethod(procedure.api)?.stream === 'file') return this.#handOver(procedure, frame, guest)
    return this.#forward(procedure, frame, guest)
  }

  /** The guest's shim is started, if it is not there, and gets the call and what comes behind it. */
  arrives(procedure: Procedure, frame: Frame): Promise<Reply> | undefined {
    const { api, args } = procedure
    const row = findMethod(api)
    if (!row?.brings) return undefined
    const { connect, changes } = this.#aggregator
    const guest = row.brings(fieldsFromJson(readFields(args, readerOf(frame)), row.args, api))
    const forward = (to: GuestHandle) => this.#forward(procedure, frame, to)
    if (guest.destination_xml === undefined) {
      return connect.arrived(guest, to => forward(to).catch(error => unheard(error)))
    }
    // one that has just gone from here has a shim that is about to end
    return changes.settled().then(() => connect.arriving(guest, forward))
  }

  ofDriver(frame: Frame): Promise<Reply> {
    return this.#secondary.call(frame, this.#connection.readOnly)
  }

  /** A connection of a guest's that its client gets as a descriptor. */
  async #handOver({ api, first, others }: Procedure, frame: Frame, guest: GuestHandle): Promise<Reply> {
    const from = readerOf(frame)
    readFields(first, from)
    const values = readFields(others, from)
    this.#connection.checkGuest(guest)
    const { handedFile } = await import('./handed-file.ts')
    const { root } = this.#aggregator.layout
    return { files: [await handedFile(await this.#aggregator.socketOf(guest.uuid), api, values, root.dir)] }
  }

  async #forward(procedure: Procedure, frame: Frame, guest: GuestHandle): Promise<Reply> {
    const { api } = procedure
    const changed = factOf(api)?.readOnly ? undefined : this.#aggregator.changes.begin(guest.uuid)
    try {
      this.#sweep ??= setInterval(() => this.#shims.closeIdle(Date.now() - IDLE_MS), IDLE_MS / 2).unref()
      const shim = await this.#shims.get(guest.uuid, () => this.#open(guest))
      if (isTied(procedure, frame)) shim.keep()
      await shim.forward(frame, findMethod(api)?.stream !== undefined)
      return { sent: true }
    } finally {
      changed?.()
    }
  }

  /** The answer to a call that need not go to the shim: the guest's report has it, and nobody has changed it since. */
  #fromReport({ api, others }: Procedure, from: XdrReader, { uuid }: GuestHandle): Record<string, unknown> | undefined {
    if (!isInReport(api)) return undefined
    const { registry, changes } = this.#aggregator
    const guest = registry.byUuid(uuid)
    if (!guest) return undefined
    const { flags } = readFields(others, from)
    if (flags !== undefined && flags !== 0) return undefined
    return fromReport(guest, api, changes.has(uuid))
  }

  async #open(guest: GuestHandle): Promise<Upstream> {
    const { client, readOnly } = this.#connection
    const { connect } = this.#aggregator
    const deadline = Date.now() + REACH_LIMIT_MS
    for (;;) {
      this.#connection.checkGuest(guest)
      const socket = libvirtSocketOf({ socket: await this.#aggregator.socketOf(guest.uuid) })!
      const what = `the daemon of domain '${guest.name}'`
      const upstream = new Upstream(client, { socket, uri: connect.uri, readOnly, what })
      try {
        await upstream.opened()
        return upstream
      } catch (error) {
        if (Date.now() > deadline) throw error
        await sleep(REACH_RETRY_MS)
      }
    }
  }

  passStream(frame: Frame): boolean {
    return this.#shims.passStream(frame) || this.#daemons.passStream(frame)
  }

  get isBusy(): boolean {
    return this.#shims.isBusy || this.#daemons.isBusy
  }

  pace(backlog: number): void {
    this.#shims.pace(backlog)
    this.#daemons.pace(backlog)
  }

  closed(): void {
    this.#aggregator.registry.off('gone', this.#gone)
    clearInterval(this.#sweep)
    this.#shims.close()
    this.#daemons.close()
  }
}
