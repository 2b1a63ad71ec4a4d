// One client's connection: what is open, what it has registered for, and the guests its calls are on.
import { errorsFrom } from '../../conf/error.ts'
import type { GuestHandle } from '../../drivers/connection.ts'
import { findMethod } from '../../drivers/qemu/index.ts'
import { ReceivedFiles } from '../../host/received-files.ts'
import { checkAccess, factOf, noDomain, type Served } from '../dispatch.ts'
import { answer } from './answer.ts'
import type { Reply, RpcClient, RpcHandler } from './client.ts'
import { readFields, writeFields } from './codec.ts'
import { type EventSource, EventSubscriptions } from './events.ts'
import { exceptions } from './exceptions.ts'
import { type Frame, readerOf } from './frame.ts'
import { findProcedure, type Procedure } from './procedures.ts'
import { withoutDriver } from './secondary-drivers.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** The guests of a connection: one that is here, or those of other daemons, which are asked. */
export interface Guests extends Partial<Pick<RpcHandler, 'passStream' | 'isBusy' | 'pace' | 'closed'>> {
  /** A guest of that uuid is one of them; asked with every call. */
  has(uuid: string): boolean
  /** A call on one of them. What is known at once is given at once. */
  call(procedure: Procedure, frame: Frame, signal: AbortSignal): Reply | Promise<Reply>
  /** A call that brings a guest, or undefined for another; absent: whose connection it is carries it out. */
  arrives?(procedure: Procedure, frame: Frame): Promise<Reply> | undefined
  /** A call of one of libvirt's other drivers; absent: there is none. */
  ofDriver?(frame: Frame): Promise<Reply>
}

export interface ConnectionOptions {
  served: Served
  events: EventSource
  client: RpcClient
  /** the socket wants it so */
  readOnly: boolean
  /** makes the guests, for this connection */
  guests(connection: Connection): Guests
  /** ours alone: files of the client's are received by way of it */
  directory(): string
}

export class Connection implements RpcHandler {
  readonly client: RpcClient
  readonly events: EventSubscriptions
  readonly #served: Served
  readonly #guests: Guests
  readonly #directory: () => string
  /** the socket, or the client itself, wants it so */
  readOnly: boolean
  opened = false

  constructor({ served, events, client, readOnly, guests, directory }: ConnectionOptions) {
    this.#served = served
    this.client = client
    this.readOnly = readOnly
    this.events = new EventSubscriptions(events, client)
    this.#guests = guests(this)
    this.#directory = directory
  }

  call(frame: Frame, signal: AbortSignal): Reply | Promise<Reply> {
    const procedure = findProcedure(frame.program, frame.procedure)
    const exception = procedure && exceptions[procedure.name]
    if (!exception?.beforeOpen && !this.opened) throw fail('VIR_ERR_INTERNAL_ERROR', 'connection not open')
    if (!procedure) return this.#guests.ofDriver?.(frame) ?? withoutDriver(frame)
    if (!exception?.beforeOpen) checkAccess(procedure.api, this.readOnly)
    // the next daemon may have the guest already
    if (this.client.isFinishing && findMethod(procedure.api) && !factOf(procedure.api)?.readOnly) {
      throw fail('VIR_ERR_OPERATION_FAILED', `the daemon is ending, ${procedure.api} is too late`)
    }
    if (procedure.onGuest) return this.#guests.call(procedure, frame, signal)
    return this.#guests.arrives?.(procedure, frame) ?? this.#ownCall(procedure, frame, signal)
  }

  /** A call on the connection itself, or on all of its guests. */
  async #ownCall(procedure: Procedure, frame: Frame, signal: AbortSignal): Promise<Reply> {
    const given = readFields(procedure.args, readerOf(frame))
    const run = exceptions[procedure.name]?.run
    if (run) {
      const result = await run(this, given)
      return { write: to => writeFields(procedure.ret, result, to) }
    }
    return answer(this.#served, procedure, given, { readOnly: this.readOnly, signal })
  }

  /** Nobody has a file received who may not make the call. */
  roomFor({ program, procedure, fileCount }: Frame): Promise<ReceivedFiles> | undefined {
    const api = findProcedure(program, procedure)?.api
    if (api === undefined || !this.opened || this.readOnly || !findMethod(api)?.takesFiles) return undefined
    return ReceivedFiles.room(fileCount, this.#directory())
  }

  /** @throws VIR_ERR_NO_DOMAIN unless the handle is of one of this connection's guests */
  checkGuest(guest: GuestHandle): void {
    if (!this.#guests.has(guest.uuid)) throw noDomain(guest)
  }

  passStream(frame: Frame): boolean {
    return this.#guests.passStream?.(frame) ?? false
  }

  get isBusy(): boolean {
    return this.#guests.isBusy ?? false
  }

  pace(backlog: number): void {
    this.#guests.pace?.(backlog)
  }

  closed(): void {
    this.events.clear()
    this.#guests.closed?.()
  }
}
