// Answers to RPC calls: arguments to an API of the table, its result to the reply.
//
// Most procedures say no more than their API's row: names and order are the same. What libvirt's C API needs beside it,
// sizes of the caller's arrays, is dealt with once, in `fitted`. The rest is in exceptions.ts.
import { API_FACTS } from '../../conf/api-list.ts'
import { virTypedParameterFlags } from '../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../conf/error.ts'
import type { TypedParams } from '../../conf/wire.ts'
import type { GuestHandle, Host } from '../../drivers/connection.ts'
import type { ByteChannel, Method, Stream } from '../../drivers/method.ts'
import { findMethod } from '../../drivers/qemu/index.ts'
import { type Call, runOnHost } from '../dispatch.ts'
import type { Reply, RpcClient, RpcHandler } from './client.ts'
import { readFields, type WireField, writeFields } from './codec.ts'
import { type EventSource, EventSubscriptions } from './events.ts'
import { type Exception, exceptions } from './exceptions.ts'
import { type Frame, REMOTE_PROGRAM, readerOf } from './frame.ts'
import { findProcedure, type Procedure } from './procedures.ts'
import { emptyAnswer, secondaryName } from './secondary-drivers.ts'
import { bodyStream, channelStream } from './stream.ts'

const fail = errorsFrom('VIR_FROM_RPC')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')
const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')
const failQemu = errorsFrom('VIR_FROM_QEMU')

const { VIR_TYPED_PARAM_STRING_OKAY } = virTypedParameterFlags

// biome-ignore lint/suspicious/noExplicitAny: fields of every procedure
export type Values = Record<string, any>

/** What of a row its wire form depends on. */
type Row = Pick<Method<never>, 'args' | 'stream'>

interface Carrying {
  find(api: string): Row | undefined
  perform(call: Call): Promise<unknown>
  /** the guest it is carried out on */
  guest?: GuestHandle
}

/**
 * One client's calls: what concerns the connection and its guests as a whole is answered here, for any host; who
 * carries out the rest extends this.
 */
export abstract class ConnectionCalls implements RpcHandler {
  readonly host: Host
  readonly client: RpcClient
  readonly events: EventSubscriptions
  /** the socket, or the client itself, wants it so */
  readOnly: boolean
  opened = false

  constructor(host: Host, source: EventSource, client: RpcClient, readOnly: boolean) {
    this.host = host
    this.client = client
    this.readOnly = readOnly
    this.events = new EventSubscriptions(source, client)
  }

  /** A call on a guest, or on something of a guest. */
  protected abstract guestCall(procedure: Procedure, frame: Frame, signal: AbortSignal): Reply | Promise<Reply>

  /** The row of an API that is not on a guest, undefined if there is none. */
  protected hostRow(api: string): Row | undefined {
    return findMethod(api)
  }

  /** Carries out such an API. */
  protected hostCall(call: Call): Promise<unknown> {
    return runOnHost(this.host, call)
  }

  closed(): void {
    this.events.clear()
  }

  call(frame: Frame, signal: AbortSignal): Reply | Promise<Reply> {
    const procedure = findProcedure(frame.program, frame.procedure)
    if (!procedure) return this.unknownCall(frame)
    const exception = exceptions[procedure.name]
    if (!exception?.beforeOpen) this.checkOpen()
    if (procedure.onGuest) return this.guestCall(procedure, frame, signal)
    const given = readFields(procedure.args, readerOf(frame))
    if (exception?.run) return this.#runException(exception.run, procedure, given, signal)
    const perform = (call: Call) => this.hostCall({ ...call, signal })
    return this.answer(procedure, given, { find: api => this.hostRow(api), perform })
  }

  async #runException(
    run: NonNullable<Exception['run']>,
    { ret }: Procedure,
    given: Values,
    signal: AbortSignal
  ): Promise<Reply> {
    const result = await run(this, given, signal)
    return { write: to => writeFields(ret, result, to) }
  }

  /** A procedure that is not around domains: of another driver, or of nothing. */
  protected async unknownCall(frame: Frame): Promise<Reply> {
    this.checkOpen()
    return withoutDriver(frame)
  }

  protected checkOpen(): void {
    if (!this.opened) throw fail('VIR_ERR_INTERNAL_ERROR', 'connection not open')
  }

  /** A call of an API of the table, carried out on a guest or on the host. */
  protected async answer(procedure: Procedure, given: Values, { find, perform, guest }: Carrying): Promise<Reply> {
    const api = procedure.api ?? procedure.name
    const { readOnly } = this
    if (readOnly && !API_FACTS[api]?.readOnly) {
      throw failDomain('VIR_ERR_OPERATION_DENIED', `read only access prevents ${api}`)
    }
    const method = find(api)
    if (!method) throw failDomain('VIR_ERR_NO_SUPPORT', api)
    const exception = exceptions[procedure.name]
    const args: Values = {}
    for (const name of Object.keys(method.args)) args[name] = given[name]
    if (!exception?.anyRoom) checkRoom(api, given)
    const stringsOkay = withoutStringFlag(procedure, args, given)
    Object.assign(args, exception?.args?.(given))
    const result = await perform({ api, args, readOnly })
    if (method.stream === 'channel') return { stream: channelStream(result as ByteChannel) }
    if (method.stream === 'body') {
      const { mime, body } = result as Stream
      return { write: to => writeFields(procedure.ret, { mime }, to), stream: bodyStream(body) }
    }
    const values = exception?.ret?.(result as Values, given, guest) ?? (result as Values)
    const reply = exception?.isFitted ? values : fitted(procedure.ret, values, given, stringsOkay)
    return { write: to => writeFields(procedure.ret, reply, to) }
  }

  /** Whether a guest of that uuid is one of this connection's; asked with every call. */
  protected abstract knows(uuid: string): boolean

  /** @throws VIR_ERR_NO_DOMAIN unless the handle is of one of this connection's guests */
  checkGuest({ name, uuid }: GuestHandle): void {
    if (!this.knows(uuid)) throw failQemu('VIR_ERR_NO_DOMAIN', `no domain with matching uuid '${uuid}' (${name})`)
  }
}

/**
 * A call of a driver that is not there: there is nothing of the kind.
 * @throws VIR_ERR_NO_SUPPORT for more than counts and lists, VIR_ERR_RPC for a number that means nothing
 */
export function withoutDriver({ program, procedure }: Frame): Reply {
  const name = program === REMOTE_PROGRAM ? secondaryName(procedure) : undefined
  if (name === undefined) throw fail('VIR_ERR_RPC', `unknown procedure: ${procedure}`)
  const words = emptyAnswer(procedure)
  if (words === undefined) throw failDomain('VIR_ERR_NO_SUPPORT', name)
  return { write: to => to.fixed(Buffer.alloc(4 * words)) }
}

/**
 * Typed parameters with strings go only to clients that say they can take them; the flag is the protocol's, not the
 * API's. Gives whether they may.
 */
function withoutStringFlag({ ret }: Procedure, args: Values, { nparams }: Values): boolean {
  if (typeof args.flags !== 'number' || nparams === undefined) return true
  if (!ret.some(({ isParams }) => isParams)) return true
  const okay = (args.flags & VIR_TYPED_PARAM_STRING_OKAY) !== 0
  if (okay) args.flags &= ~VIR_TYPED_PARAM_STRING_OKAY
  return okay
}

/** Arguments by which callers say how much they have room for, by the result they limit. */
const ROOM = ['nparams', 'maxnames', 'maxids', 'maxStats', 'maxerrors', 'maxcells', 'maxinfo', 'maplen'] as const

/** A caller cannot have less than no room. @throws VIR_ERR_INVALID_ARG */
function checkRoom(api: string, given: Values): void {
  for (const name of ROOM) {
    if (given[name] < 0) throw badArgument(`${name} in ${api} must be zero or greater`)
  }
}

/**
 * The result as the caller asked for it. `need_results` 0 wants the count alone, so does `nparams` 0; other limits cut
 * lists short. `ret` and `nparams` of a reply are the count.
 */
function fitted(fields: readonly WireField[], values: Values, given: Values, stringsOkay: boolean): Values {
  const list = fields.find(({ isList, name }) => isList && name in values)
  if (!list) return values
  const out: Values = { ...values }
  let entries = list.isParams ? shownParams(values[list.name], stringsOkay) : values[list.name]
  const count = Array.isArray(entries) ? entries.length : Object.keys(entries).length
  const room = ROOM.find(name => given[name] !== undefined)
  if (given.need_results === 0) entries = []
  else if (room !== undefined) entries = cut(entries, Math.max(0, given[room]))
  out[list.name] = entries
  for (const { name } of fields) {
    if (name in values) continue
    if (name === 'ret') out.ret = count
    else if (name === 'nparams') out.nparams = given.nparams === 0 ? count : Math.min(count, given.nparams)
    else if (name === 'nerrors') out.nerrors = Math.min(count, given.maxerrors)
  }
  return out
}

function shownParams(params: TypedParams, stringsOkay: boolean): TypedParams {
  if (stringsOkay) return params
  return Object.fromEntries(Object.entries(params).filter(([, { type }]) => type !== 'string'))
}

function cut<T extends unknown[] | TypedParams>(entries: T, room: number): T {
  return (
    Array.isArray(entries) ? entries.slice(0, room) : Object.fromEntries(Object.entries(entries).slice(0, room))
  ) as T
}
