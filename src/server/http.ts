// HTTP: routes made from the API table, events, report, metrics. Loaded on the first connection, not before.
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { errorsFrom } from '../conf/error.ts'
import { handleOf } from '../drivers/connection.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import { isTied } from '../drivers/qemu/process/auto-destroy.ts'
import type { Activity } from './activity.ts'
import { apiRoutes } from './api-routes.ts'
import { servedBy } from './connection.ts'
import { checkGuest } from './dispatch.ts'
import { createApp, type EventFeed, eventRoute, send, serviceOf } from './http-app.ts'
import { POLLED } from './polled.ts'
import { report } from './report.ts'
import type { Service } from './sockets.ts'
import type { createUpgrade } from './websocket.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Shim-level actions that are no libvirt API. */
export interface ShimControl {
  /** ends the shim, leaves the guest */
  detach(): void
  /** with this process: calls and clients */
  activity: Activity
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
  const served = servedBy(domain, control.activity)
  const events: EventFeed = { about: 'events of this guest', listen: eventsOf(domain), streams }
  apiRoutes(app, served, { readOnly, events }, ['/v1/:api', '/v1/domains/:domain/:api'])
  const waits = new AbortController()
  streams.add(() => waits.abort())
  plainRoutes(app, domain, waits.signal)
  eventRoute(app, events)
  jobRoutes(app, domain, readOnly)
  if (!readOnly) {
    const detach = async (request: FastifyRequest<{ Params: { domain?: string } }>, reply: FastifyReply) => {
      const { domain: guest } = request.params
      if (guest !== undefined) checkGuest(domain, guest)
      if (isTied(domain)) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is marked for auto destroy')
      reply.raw.once('finish', () => control.detach())
      return send(reply, {})
    }
    for (const url of ['/v1/shim-detach', '/v1/domains/:domain/shim-detach']) app.post(url, detach)
  }
  let upgrade: Promise<ReturnType<typeof createUpgrade>> | undefined
  app.server.on('upgrade', (request, socket, head) => {
    upgrade ??= import('./websocket.ts').then(module => module.createUpgrade(served, readOnly))
    void upgrade.then(take => take(request, socket as Socket, head))
  })
  return serviceOf(app, streams)
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

/** Jobs one by one; the list of them is polled. */
function jobRoutes(app: FastifyInstance, domain: QemuDomain, readOnly: boolean): void {
  type Job = { Params: { domain?: string; id: string } }
  const checked = (guest: string | undefined) => {
    if (guest !== undefined) checkGuest(domain, guest)
    return import('../drivers/qemu/job/list.ts')
  }
  app.get<Job>('/v1/domains/:domain/jobs', async ({ params }, reply) =>
    send(reply, { jobs: await (await checked(params.domain)).listJobs(domain) })
  )
  for (const url of ['/v1/jobs/:id', '/v1/domains/:domain/jobs/:id']) {
    app.get<Job>(url, async ({ params }, reply) =>
      send(reply, await (await checked(params.domain)).getJob(domain, params.id))
    )
    if (readOnly) continue
    app.delete<Job>(url, async ({ params }, reply) => {
      await (await checked(params.domain)).cancelJob(domain, params.id)
      return send(reply, {})
    })
  }
}

const eventsOf =
  (domain: QemuDomain): EventFeed['listen'] =>
  (emit, since) =>
    domain.events.listen(
      ({ id, event, timestampUs, data }) => emit(id, event, { timestampUs, dom: handleOf(domain), ...data }),
      since
    )
