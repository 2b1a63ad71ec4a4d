// Answers to RPC calls: arguments to a call of an API of the table, its result to the reply.
//
// Most procedures say no more than their API's row: names and order are the same. What libvirt's C API needs beside it,
// sizes of the caller's arrays, is dealt with once, in `fitted`. The rest is in exceptions.ts.
import { libraryDomain } from '../../conf/api-list.ts'
import { virTypedParameterFlags } from '../../conf/enums.ts'
import { argumentErrorsFrom } from '../../conf/error.ts'
import type { TypedParams } from '../../conf/wire.ts'
import type { ByteChannel, FileChannel, Stream, Upload } from '../../drivers/method.ts'
import { type Call, dispatch, rowFor, type Served } from '../dispatch.ts'
import type { Reply } from './client.ts'
import { type Values, type WireField, writeFields } from './codec.ts'
import { exceptions } from './exceptions.ts'
import { guestOf, type Procedure } from './procedures.ts'
import { bodyStream, channelStream } from './stream.ts'

const { VIR_TYPED_PARAM_STRING_OKAY } = virTypedParameterFlags

/**
 * Carries out the call of a procedure with the arguments that came.
 * @param signal aborts when the client's connection closes
 * @throws as rowFor and dispatch
 */
export async function answer(
  served: Served,
  procedure: Procedure,
  given: Values,
  { readOnly, signal, files }: Pick<Call, 'readOnly' | 'signal' | 'files'>
): Promise<Reply> {
  const { api, ret } = procedure
  const row = rowFor(served, api, readOnly, true)
  const exception = exceptions[procedure.name]
  const values: Values = {}
  for (const name of Object.keys(row.args)) values[name] = given[name]
  if (!exception?.anyRoom) checkRoom(api, given)
  const stringsOkay = withoutStringFlag(procedure, values, given)
  Object.assign(values, exception?.args?.(given))
  const guest = procedure.onGuest ? guestOf(procedure, given) : undefined
  const result = await dispatch(served, { row, values, readOnly, guest, signal, connection: signal, files })
  if (row.stream === 'file') return { files: [(result as FileChannel).file] }
  if (row.stream === 'channel') return { stream: channelStream(result as ByteChannel) }
  if (row.stream === 'body') {
    const { mime, body } = result as Stream
    return { write: to => writeFields(ret, { mime }, to), stream: bodyStream(body) }
  }
  if (row.stream === 'upload') {
    const { channel, ...results } = result as Upload
    return { write: to => writeFields(ret, results, to), stream: channelStream(channel) }
  }
  const results = exception?.ret?.(result as Values, given, served.domain) ?? (result as Values)
  const reply = exception?.isFitted ? results : fitted(ret, results, given, stringsOkay)
  return { write: to => writeFields(ret, reply, to) }
}

/**
 * Typed parameters with strings go only to clients that say they can take them; the flag is the protocol's, not the
 * API's. Gives whether they may.
 */
function withoutStringFlag({ ret }: Procedure, values: Values, { nparams }: Values): boolean {
  if (typeof values.flags !== 'number' || nparams === undefined) return true
  if (!ret.some(({ isParams }) => isParams)) return true
  const okay = (values.flags & VIR_TYPED_PARAM_STRING_OKAY) !== 0
  if (okay) values.flags &= ~VIR_TYPED_PARAM_STRING_OKAY
  return okay
}

/** Arguments by which callers say how much they have room for, by the result they limit. */
const ROOM = ['nparams', 'maxnames', 'maxids', 'maxStats', 'maxerrors', 'maxcells', 'maxinfo', 'maplen'] as const

/** A caller cannot have less than no room. @throws VIR_ERR_INVALID_ARG (virCheckNonNegativeArgGoto) */
function checkRoom(api: string, given: Values): void {
  for (const name of ROOM) {
    if (Number(given[name]) < 0) {
      throw argumentErrorsFrom(libraryDomain(api))(`${name} in ${api} must be zero or greater`)
    }
  }
}

/**
 * The result as the caller asked for it. `need_results` 0 wants the count alone, so does `nparams` 0; other limits cut
 * lists short. `ret` and `nparams` of a reply are the count.
 */
function fitted(fields: readonly WireField[], results: Values, given: Values, stringsOkay: boolean): Values {
  const list = fields.find(({ isList, name }) => isList && name in results)
  if (!list) return results
  const out: Values = { ...results }
  const whole = results[list.name] as unknown[] | TypedParams
  const entries = Array.isArray(whole) ? whole : shownParams(whole, stringsOkay)
  const count = Array.isArray(entries) ? entries.length : Object.keys(entries).length
  const room = ROOM.find(name => given[name] !== undefined)
  if (given.need_results === 0) out[list.name] = []
  else out[list.name] = room === undefined ? entries : cut(entries, Math.max(0, Number(given[room])))
  for (const { name } of fields) {
    if (name in results) continue
    if (name === 'ret') out.ret = count
    else if (name === 'nparams') out.nparams = given.nparams === 0 ? count : Math.min(count, Number(given.nparams))
    else if (name === 'nerrors') out.nerrors = Math.min(count, Number(given.maxerrors))
  }
  return out
}

function shownParams(params: TypedParams, stringsOkay: boolean): TypedParams {
  if (stringsOkay) return params
  return Object.fromEntries(Object.entries(params).filter(([, { type }]) => type !== 'string'))
}

function cut(entries: unknown[] | TypedParams, room: number): unknown[] | TypedParams {
  return Array.isArray(entries) ? entries.slice(0, room) : Object.fromEntries(Object.entries(entries).slice(0, room))
}
