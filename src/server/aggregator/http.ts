// The aggregator's HTTP: connection-level APIs here, calls for a guest at its shim, and what is known of all guests.
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { errorsFrom } from '../../conf/error.ts'
import { fieldsToJson } from '../../conf/wire.ts'
import { findMethod } from '../../drivers/qemu/index.ts'
import { apiRoutes } from '../api-routes.ts'
import { checkAccess, factOf } from '../dispatch.ts'
import {
  checkSource,
  createApp,
  type EventFeed,
  eventRoute,
  JSON_TYPE,
  send,
  sendErrorRaw,
  serviceOf
} from '../http-app.ts'
import type { Service } from '../sockets.ts'
import type { Aggregator } from './aggregator.ts'
import { askGuests } from './ask-guests.ts'
import { claimRoutes } from './claims-http.ts'
import { withoutShim } from './from-report.ts'
import { forward, forwardUpgrade } from './proxy.ts'
import type { Registry } from './registry.ts'
import { servedBy } from './rows.ts'
import { guestsJson } from './view.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** The HTTP server of one socket; connections are handed to it. */
export async function createHttp(aggregator: Aggregator, readOnly: boolean): Promise<Service> {
  const app = createApp(aggregator.log)
  const streams = new Set<() => void>()
  const events: EventFeed = { about: 'events of all guests', listen: eventsOf(aggregator), streams }
  apiRoutes(app, servedBy(aggregator), { readOnly, events }, ['/v1/:api'])
  guestRoutes(app, aggregator, readOnly)
  plainRoutes(app, aggregator)
  eventRoute(app, events)
  resourceRoutes(app, aggregator, readOnly)
  return serviceOf(app, streams)
}

/** The socket of a guest's shim that a connection of this kind may use. */
const ofKind = (apiSocket: string, readOnly: boolean) =>
  readOnly ? apiSocket.replace(/api\.sock$/, 'api-ro.sock') : apiSocket

/** What a report answers is a call without arguments. */
const hasArguments = ({ url = '', headers }: IncomingMessage) =>
  url.includes('?') || 'transfer-encoding' in headers || Number(headers['content-length'] ?? 0) > '{}'.length

/** Calls for one guest. */
function guestRoutes(app: FastifyInstance, aggregator: Aggregator, readOnly: boolean): void {
  type Params = { domain: string; '*': string }
  const { registry, changes } = aggregator
  const shimOf = async (guest: string) => ofKind(await aggregator.socketOf(guest), readOnly)
  void app.register(async proxied => {
    proxied.removeAllContentTypeParsers()
    // the body goes on as it comes
    proxied.addContentTypeParser('*', (_request, _body, done) => done(null))
    proxied.all<{ Params: Params }>('/v1/domains/:domain/*', async (request, reply) => {
      const { domain, '*': api } = request.params
      const guest = registry.find(domain)
      // a shim is not woken for what it may not do
      if (factOf(api)) checkAccess(api, readOnly)
      const known = guest && !hasArguments(request.raw) && withoutShim(guest, api)
      if (known) return send(reply, fieldsToJson(known, findMethod(api)!.ret))
      reply.hijack()
      const changed = guest && !factOf(api)?.readOnly ? changes.begin(guest.report.uuid) : undefined
      await forward(() => shimOf(domain), request.raw, reply.raw).catch(error => sendErrorRaw(reply.raw, error))
      changed?.()
    })
  })
  app.server.on('upgrade', (request, socket, head) => {
    const [, guest, api = ''] = /^\/v1\/domains\/([^/?]+)\/([^/?]*)/.exec(request.url ?? '') ?? []
    forwardUpgrade(
      async () => {
        checkSource(request.headers)
        if (guest === undefined) throw fail('VIR_ERR_RPC', `unknown path '${request.url?.split('?')[0]}'`)
        if (factOf(api)) checkAccess(api, readOnly)
        return shimOf(decodeURIComponent(guest))
      },
      request,
      socket as Socket,
      head
    )
  })
}

function plainRoutes(app: FastifyInstance, aggregator: Aggregator): void {
  const { registry, changes } = aggregator
  app.get<{ Querystring: { guest?: string } }>('/v1/guests', async (request, reply) => {
    await changes.settled()
    // nothing in a report is longer than a number
    return reply.type(JSON_TYPE).send(`${JSON.stringify(guestsJson(registry, request.query.guest))}\n`)
  })
  // each beside its guest; one of them is got and ended below /v1/domains/NAME/jobs
  app.get('/v1/jobs', async (_request, reply) => {
    const guests = Array.from(registry.guests(), ({ report: { name, uuid } }) => ({ name, uuid }))
    const answers = await askGuests(registry, guests, '/v1/jobs')
    const jobs = answers.flatMap(({ guest, body }) => jobsIn(body).map(job => ({ guest, ...job })))
    return send(reply, { jobs })
  })
  app.get('/healthz', (_request, reply) => send(reply, health(registry)))
  app.get('/openapi.json', async (_request, reply) => send(reply, (await import('./openapi.ts')).aggregatorOpenapi()))
  app.get('/metrics', async (_request, reply) => {
    const { type, text } = await (await import('./metrics.ts')).aggregatorMetrics(aggregator)
    return reply.type(type).send(text)
  })
}

/** The jobs in a shim's answer, which may be anything. */
function jobsIn(body: unknown): object[] {
  const { jobs } = Object(body) as { jobs?: unknown }
  return Array.isArray(jobs) ? jobs.filter(job => typeof job === 'object' && job !== null) : []
}

const eventsOf =
  (aggregator: Aggregator): EventFeed['listen'] =>
  async (emit, since) => {
    const events = await aggregator.hostEvents()
    return events.listen(({ id, event, timestampUs, data }) => emit(id, event, { timestampUs, ...data }), since)
  }

/** The aggregator is well as long as it answers; how many guests are not is told beside it. */
function health(registry: Registry): { ok: true; guests: number; unreachable: number } {
  let unreachable = 0
  for (const guest of registry.guests()) if (guest.unreachableSince !== undefined) unreachable++
  return { ok: true, guests: registry.size, unreachable }
}

/** Routes of holders of resources, and of claims. */
function resourceRoutes(app: FastifyInstance, aggregator: Aggregator, readOnly: boolean): void {
  const { resources, changes } = aggregator
  const settled = () => changes.settled()
  app.get('/v1/allocations', { preHandler: settled }, (_request, reply) => send(reply, resources.allocations()))
  app.get('/v1/conflicts', { preHandler: settled }, (_request, reply) => send(reply, resources.conflicts()))
  if (!readOnly) claimRoutes(app, aggregator)
}
