// Claims of guests over HTTP, and the whole of the socket that containers are given.
import type { FastifyInstance } from 'fastify'
import { createApp, send, serviceOf } from '../http-app.ts'
import type { Service } from '../sockets.ts'
import type { Aggregator } from './aggregator.ts'

/** Bytes of a claim of as many resources as there may be in one. */
const BODY_MAX = 1024 * 1024

/** Routes of claims. */
export function claimRoutes(app: FastifyInstance, { resources }: Aggregator): void {
  app.post('/v1/claims', { bodyLimit: BODY_MAX }, async (request, reply) =>
    send(reply, await resources.claim(request.body))
  )
  app.delete<{ Params: { claim: string } }>('/v1/claims/:claim', async (request, reply) => {
    resources.release(request.params.claim)
    return send(reply, {})
  })
}

/** The HTTP server of claims.sock: nothing is told of others there, and nothing started or changed. */
export async function createClaimsHttp(aggregator: Aggregator): Promise<Service> {
  const app = createApp(aggregator.log)
  claimRoutes(app, aggregator)
  app.post('/v1/virDomainQemuReconnect', { bodyLimit: BODY_MAX }, async (request, reply) =>
    send(reply, await aggregator.discovery.addTold(request.body))
  )
  return serviceOf(app, [])
}
