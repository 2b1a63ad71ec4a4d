// HTTP: routes made from the API table, events, report, metrics. Loaded on the first connection, not before.
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { errorsFrom } from '../conf/error.ts'
import { handleOf } from '../drivers/connection.ts'
import type { Stream } from '../drivers/method.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import { dispatch, resolve } from './dispatch.ts'
import { createApp, send, sendError, serviceOf, streamEvents } from './http-app.ts'
import { POLLED } from './polled.ts'
import { fromQuery, wholeNumber } from './query.ts'
import { report } from './report.ts'
import type { Service } from './sockets.ts'

const fail = errorsFrom('VIR_FROM_RPC')

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
  const app = createApp(domain.log)
  const streams = new Set<() => void>()
  apiRoutes(app, domain, readOnly)
  const waits = new AbortController()
  streams.add(() => waits.abort())
  plainRoutes(app, domain, waits.signal)
  eventRoute(app, domain, streams)
  if (!readOnly) {
    app.post('/v1/shim-detach', async (_request, reply) => {
      reply.raw.once('finish', () => control.detach())
      return send(reply, {})
    })
  }
  app.server.on('upgrade', (request, socket, head) => {
    void import('./websocket.ts').then(({ upgrade }) => upgrade(domain, readOnly, request, socket as Socket, head))
  })
  return serviceOf(app, streams)
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

function plainRoutes(app: FastifyInstance, domain: QemuDomain, closing: AbortSignal): void {
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
  for (const [path, polled] of Object.entries(POLLED)) {
    app.get<{ Querystring: Record<string, string> }>(path, async (request, reply) => {
      const answer = await polled(domain, request.query, closing)
      if (closing.aborted) reply.header('connection', 'close')
      return answer ? send(reply, answer) : reply.code(304).send()
    })
  }
  // one guest in the form the aggregator has for all
  app.get('/v1/guests', (_request, reply) =>
    send(reply, { guests: [{ ...report(domain), socket: domain.root.apiSocket, flags: [] }] })
  )
}

function eventRoute(app: FastifyInstance, domain: QemuDomain, streams: Set<() => void>): void {
  app.get<{ Querystring: { since?: string } }>('/v1/events', async (request, reply) => {
    const since = wholeNumber(request.query.since ?? (request.headers['last-event-id'] as string | undefined), 'since')
    await streamEvents(reply, streams, 'events of this guest', emit =>
      domain.events.listen(
        ({ id, event, timestampUs, data }) => emit(id, event, { timestampUs, dom: handleOf(domain), ...data }),
        since
      )
    )
  })
}
