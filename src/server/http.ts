// HTTP: routes made from the API table, events, report, metrics. Loaded on the first connection, not before.
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { errorsFrom, toVirError, type VirError } from '../conf/error.ts'
import { formatJson, parseJson } from '../conf/json.ts'
import type { WireFields } from '../conf/wire.ts'
import type { Stream } from '../drivers/method.ts'
import type { QemuDomain } from '../drivers/qemu/domain.ts'
import { dispatch, resolve } from './dispatch.ts'
import { report } from './report.ts'
import type { Service } from './sockets.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** A request body holds at most libvirt's longest string, and some JSON around it. */
const BODY_LIMIT = 8 * 1024 * 1024
/** Longest wait a report or event request may ask for, in seconds. */
const WAIT_MAX_S = 300
/** A client has this long to send its whole request; looked at every second. */
const REQUEST_TIMEOUT_MS = 10_000
/** Comment lines keep idle event streams alive. */
const SSE_PING_MS = 15_000
/** How often a closing server looks for connections that have become idle. */
const CLOSE_POLL_MS = 5

/** Shim-level actions that are no libvirt API. */
export interface ShimControl {
  /** ends the shim, leaves the guest */
  detach(): void
}

export interface HttpOptions {
  domain: QemuDomain
  readOnly: boolean
  control: ShimControl
}

/** The HTTP server of one socket; connections are handed to it. */
export async function createHttp({ domain, readOnly, control }: HttpOptions): Promise<Service> {
  const app = Fastify({
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: { headersTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: 1000 },
    routerOptions: { maxParamLength: 200 },
    frameworkErrors: (error, _request, reply) =>
      void sendError(reply as FastifyReply, fail('VIR_ERR_INVALID_ARG', error.message), error.statusCode)
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, body === '' ? {} : parseJson(String(body)))
    } catch (error) {
      done(fail('VIR_ERR_INVALID_ARG', `request body is not JSON: ${(error as Error).message}`))
    }
  })
  app.setErrorHandler((error, request, reply) => {
    const { statusCode } = error as { statusCode?: number }
    const known = statusCode !== undefined && statusCode < 500 && fail('VIR_ERR_INVALID_ARG', (error as Error).message)
    sendError(reply, known || toVirError(error), statusCode)
    domain.log.debug({ api: request.url, err: error }, 'call failed')
  })
  app.setNotFoundHandler((request, reply) =>
    sendError(reply, fail('VIR_ERR_RPC', `unknown path '${request.url.split('?')[0]}'`))
  )

  apiRoutes(app, domain, readOnly)
  const eventStreams = new Set<() => void>()
  plainRoutes(app, domain)
  eventRoute(app, domain, eventStreams)
  if (!readOnly) {
    app.post('/v1/shim-detach', async (_request, reply) => {
      reply.raw.once('finish', () => control.detach())
      return send(reply, {})
    })
  }
  await app.ready()
  // Node sets the watch over slow clients up when a server listens; this one is only handed connections
  app.server.emit('listening')
  app.server.on('upgrade', (request, socket, head) => {
    void import('./websocket.ts').then(({ upgrade }) => upgrade(domain, readOnly, request, socket as Socket, head))
  })
  const sockets = new Set<Socket>()
  return {
    accept(socket) {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      app.server.emit('connection', socket)
    },
    async close() {
      for (const end of eventStreams) end()
      // what is answered now becomes idle a moment later
      while (sockets.size > 0) {
        app.server.closeIdleConnections()
        await sleep(CLOSE_POLL_MS)
      }
    }
  }
}

function send(reply: FastifyReply, value: unknown): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(`${formatJson(value)}\n`)
}

function sendError(reply: FastifyReply, error: VirError, status?: number): FastifyReply {
  return send(reply.code(status && status < 500 ? status : error.httpStatus), error)
}

function apiRoutes(app: FastifyInstance, domain: QemuDomain, readOnly: boolean): void {
  type Params = { api: string; domain?: string }
  const answer = async (request: FastifyRequest<{ Params: Params }>, reply: FastifyReply) => {
    const { api, domain: wanted } = request.params
    if (wanted !== undefined && wanted !== domain.name && wanted.toLowerCase() !== domain.uuid) {
      throw errorsFrom('VIR_FROM_QEMU')('VIR_ERR_NO_DOMAIN', `no domain with matching name or uuid '${wanted}'`)
    }
    const method = resolve(api, readOnly)
    const isGet = request.method === 'GET'
    if (isGet && !method.readOnly) {
      return sendError(reply, fail('VIR_ERR_OPERATION_DENIED', `'${api}' changes the guest: use POST`), 405)
    }
    if (method.stream === 'channel') throw fail('VIR_ERR_INVALID_ARG', `'${api}' is a stream: open it as a WebSocket`)
    const args = isGet ? fromQuery(request.query as Record<string, string>, method.args) : request.body
    const abort = new AbortController()
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) abort.abort()
    })
    const result = await dispatch(domain, { api, args, readOnly, signal: abort.signal })
    if (method.stream !== 'body') return send(reply, result)
    const { mime, body } = result as Stream
    return reply.type(mime).send(body)
  }
  for (const url of ['/v1/:api', '/v1/domains/:domain/:api']) {
    app.get<{ Params: Params }>(url, answer)
    app.post<{ Params: Params }>(url, answer)
  }
}

/** Query parameters as the JSON a body would hold: integers by type, flags as a comma-separated list of names. */
export function fromQuery(query: Record<string, string>, fields: WireFields): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const [name, text] of Object.entries(query)) {
    const field = fields[name]
    const isNumber = field !== undefined && field.kind !== 'string' && /^-?\d+$/.test(text)
    if (isNumber) out[name] = parseJson(text)
    else out[name] = field !== undefined && 'anyOf' in field.schema && field.kind === 'uint' ? text.split(',') : text
  }
  return out
}

function plainRoutes(app: FastifyInstance, domain: QemuDomain): void {
  app.get('/healthz', (_request, reply) =>
    send(reply.code(domain.isActive && !domain.monitor ? 503 : 200), {
      ok: !domain.isActive || domain.monitor !== undefined,
      name: domain.name,
      heldBy: domain.jobs.holder ?? null
    })
  )
  app.get('/openapi.json', async (_request, reply) => send(reply, (await import('./openapi.ts')).openapi()))
  app.get('/metrics', async (_request, reply) => {
    const { metrics } = await import('./metrics.ts')
    const { type, text } = await metrics(domain)
    return reply.type(type).send(text)
  })
  app.get<{ Querystring: { since?: string; wait?: string } }>('/v1/report', async (request, reply) => {
    const since = wholeNumber(request.query.since, 'since') ?? -1
    const wait = Math.min(wholeNumber(request.query.wait, 'wait') ?? 0, WAIT_MAX_S)
    if (!(await domain.waitForChange(since, wait * 1000))) return reply.code(304).send()
    return send(reply, report(domain))
  })
}

/** Events as they come (SSE); `streams` holds what ends each. */
function eventRoute(app: FastifyInstance, domain: QemuDomain, streams: Set<() => void>): void {
  app.get<{ Querystring: { since?: string } }>('/v1/events', (request, reply) => {
    const since = wholeNumber(request.query.since ?? (request.headers['last-event-id'] as string | undefined), 'since')
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    reply.raw.write(': events of this guest\n\n')
    const stop = domain.events.listen(event => {
      reply.raw.write(
        `id: ${event.id}\nevent: ${event.event}\ndata: ${formatJson({ timestampUs: event.timestampUs, ...event.data })}\n\n`
      )
    }, since)
    const ping = setInterval(() => reply.raw.write(':\n\n'), SSE_PING_MS)
    const end = () => reply.raw.end()
    streams.add(end)
    reply.raw.on('close', () => {
      clearInterval(ping)
      stop()
      streams.delete(end)
    })
  })
}

function wholeNumber(value: string | undefined, name: string): number | undefined {
  if (value === undefined) return undefined
  if (!/^\d{1,15}$/.test(value)) throw fail('VIR_ERR_INVALID_ARG', `${name} must be a whole number, not '${value}'`)
  return Number(value)
}
