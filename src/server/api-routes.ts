// The APIs of the table over HTTP: path, query and body to a call, its result to the answer.
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { errorsFrom } from '../conf/error.ts'
import { fieldsToJson } from '../conf/wire.ts'
import { isTwoWay, type Stream } from '../drivers/method.ts'
import { dispatch, rowFor, type Served } from './dispatch.ts'
import { type EventFeed, send, sendError, streamEvents } from './http-app.ts'
import { fromQuery } from './query.ts'
import { EVENT_STREAM } from './raw-http.ts'

const fail = errorsFrom('VIR_FROM_RPC')

export interface ApiRoutesOptions {
  readOnly: boolean
  /** what the client of a tied call hears behind its result */
  events: EventFeed
}

/** True for a request that keeps its connection: it is answered with an event stream. */
const keepsConnection = ({ accept = '' }: IncomingHttpHeaders) =>
  accept.split(',').some(type => type.split(';')[0]!.trim().toLowerCase() === EVENT_STREAM)

/** Aborts when the answer's connection closes; dear enough to be made only for who needs it. */
function untilClosed({ raw }: FastifyReply): AbortSignal {
  const closed = new AbortController()
  raw.once('close', () => closed.abort())
  return closed.signal
}

/**
 * Answers `POST` of every API, and `GET` of those that only read, at some paths. One that may be tied to its caller's
 * connection is answered with an event stream where that is accepted: the stream is the tie.
 */
export function apiRoutes(
  app: FastifyInstance,
  served: Served,
  { readOnly, events }: ApiRoutesOptions,
  urls: string[]
): void {
  type Params = { api: string; domain?: string }
  const answer = async (request: FastifyRequest<{ Params: Params }>, reply: FastifyReply) => {
    const { api, domain: guest } = request.params
    const row = rowFor(served, api, readOnly)
    const isGet = request.method === 'GET'
    if (isGet && !row.readOnly) {
      return sendError(reply, fail('VIR_ERR_OPERATION_DENIED', `'${api}' changes something: use POST`), 405)
    }
    if (isTwoWay(row)) throw fail('VIR_ERR_INVALID_ARG', `'${api}' is a stream: open it as a WebSocket`)
    if (row.stream === 'upload') {
      throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', `'${api}' takes bytes behind its call, which HTTP does not bring`)
    }
    const values = isGet ? fromQuery(request.query as Record<string, string>, row.args) : request.body
    const abort = new AbortController()
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) abort.abort()
    })
    const isHeld = (row.tied ?? row.keeps) !== undefined && keepsConnection(request.headers)
    const connection = isHeld ? untilClosed(reply) : undefined
    const result = await dispatch(served, { row, values, readOnly, guest, signal: abort.signal, connection })
    if (isHeld) return streamEvents(reply, events, { result: fieldsToJson(result as never, row.ret) })
    if (row.stream !== 'body') return send(reply, fieldsToJson(result as never, row.ret))
    const { mime, body } = result as Stream
    return reply.type(mime).send(body)
  }
  for (const url of urls) {
    app.get<{ Params: Params }>(url, answer)
    app.post<{ Params: Params }>(url, answer)
  }
}
