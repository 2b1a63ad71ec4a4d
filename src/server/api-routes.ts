// The APIs of the table over HTTP: path, query and body to a call, its result to the answer.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { errorsFrom } from '../conf/error.ts'
import { fieldsToJson } from '../conf/wire.ts'
import { isTwoWay, type Stream } from '../drivers/method.ts'
import { dispatch, rowFor, type Served } from './dispatch.ts'
import { send, sendError } from './http-app.ts'
import { fromQuery } from './query.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** Answers `POST` of every API, and `GET` of those that only read, at some paths. */
export function apiRoutes(app: FastifyInstance, served: Served, readOnly: boolean, urls: string[]): void {
  type Params = { api: string; domain?: string }
  const answer = async (request: FastifyRequest<{ Params: Params }>, reply: FastifyReply) => {
    const { api, domain: guest } = request.params
    const row = rowFor(served, api, readOnly)
    const isGet = request.method === 'GET'
    if (isGet && !row.readOnly) {
      return sendError(reply, fail('VIR_ERR_OPERATION_DENIED', `'${api}' changes something: use POST`), 405)
    }
    if (isTwoWay(row)) throw fail('VIR_ERR_INVALID_ARG', `'${api}' is a stream: open it as a WebSocket`)
    const values = isGet ? fromQuery(request.query as Record<string, string>, row.args) : request.body
    const abort = new AbortController()
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) abort.abort()
    })
    const result = await dispatch(served, { row, values, readOnly, guest, signal: abort.signal })
    if (row.stream !== 'body') return send(reply, fieldsToJson(result as never, row.ret))
    const { mime, body } = result as Stream
    return reply.type(mime).send(body)
  }
  for (const url of urls) {
    app.get<{ Params: Params }>(url, answer)
    app.post<{ Params: Params }>(url, answer)
  }
}
