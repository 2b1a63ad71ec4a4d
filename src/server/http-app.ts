// Base of every HTTP socket: a fastify that is handed connections, JSON with all digits, libvirt's errors.
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { errorsFrom, toVirError, type VirError } from '../conf/error.ts'
import { formatJson, parseJson } from '../conf/json.ts'
import type { Log } from '../drivers/qemu/domain/domain.ts'
import { checkQuery, wholeNumber } from './query.ts'
import { EVENT_STREAM } from './raw-http.ts'
import type { Service } from './sockets.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** A request body holds at most libvirt's longest string, and some JSON around it. */
const BODY_LIMIT = 8 * 1024 * 1024
/** A client has this long to send its whole request; looked at every second. */
const REQUEST_TIMEOUT_MS = 10_000
/** Comment lines keep idle event streams alive. */
const SSE_PING_MS = 15_000
/** A listener to events that is this far behind is let go rather than kept in memory. */
const SSE_BACKLOG_MAX = 4 * 1024 * 1024
/** Interval at which a closing server looks for connections that have become idle. */
const CLOSE_POLL_MS = 5

export const JSON_TYPE = 'application/json; charset=utf-8'

/** A fastify without routes; what goes wrong in one of them is answered as libvirt's error. */
export function createApp(log: Log): FastifyInstance {
  const app = Fastify({
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: { headersTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: 1000 },
    routerOptions: { maxParamLength: 200 },
    frameworkErrors: (error, _request, reply) =>
      void sendError(reply as FastifyReply, fail('VIR_ERR_INVALID_ARG', error.message), error.statusCode)
  })
  app.addHook('onRequest', async ({ headers, query }) => {
    checkSource(headers)
    checkQuery(query)
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
    log.debug({ api: request.url, err: error }, 'call failed')
  })
  app.setNotFoundHandler((request, reply) =>
    sendError(reply, fail('VIR_ERR_RPC', `unknown path '${request.url.split('?')[0]}'`))
  )
  return app
}

/** True for headers with a browser's word about the page they come from. */
const isOfPage = ({ origin, ...headers }: IncomingHttpHeaders) => (origin ?? headers['sec-fetch-site']) !== undefined

/**
 * Refuses what a page of another site can have a browser send: behind a proxy that listens on TCP, the user's browser
 * reaches these sockets. Bodies are JSON and say so; curl calls them a form unless told otherwise, as browsers can too.
 * @throws VIR_ERR_ACCESS_DENIED for a request of a foreign page, VIR_ERR_INVALID_ARG for a body of another type
 */
export function checkSource(headers: IncomingHttpHeaders): void {
  const { origin, host, 'content-type': type } = headers
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
    throw fail('VIR_ERR_ACCESS_DENIED', `requests of pages from '${origin}' are not taken`)
  }
  if (type === undefined) return
  const [media = ''] = type.toLowerCase().split(';')
  if (media.trim() === 'application/json') return
  if (media.trim() === 'application/x-www-form-urlencoded' && !isOfPage(headers)) return
  throw fail('VIR_ERR_INVALID_ARG', `request body is not JSON: it is of type '${type}'`)
}

/** The finished fastify as what serves a socket's connections; `streams` holds what ends each endless answer. */
export async function serviceOf(app: FastifyInstance, streams: Iterable<() => void>): Promise<Service> {
  await app.ready()
  // Node sets the watch over slow clients up when a server listens; this one is only handed connections
  app.server.emit('listening')
  const sockets = new Set<Socket>()
  return {
    accept(socket) {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      app.server.emit('connection', socket)
    },
    async close() {
      for (const end of streams) end()
      // connections whose answer is under way become idle a moment later
      while (sockets.size > 0) {
        app.server.closeIdleConnections()
        await sleep(CLOSE_POLL_MS)
      }
    }
  }
}

/** Answers with JSON that keeps all digits of 64-bit numbers. */
export function send(reply: FastifyReply, value: unknown): FastifyReply {
  return reply.type(JSON_TYPE).send(`${formatJson(value)}\n`)
}

/** Answers with an error as JSON. @param status instead of that of the code, if it is below 500 */
export function sendError(reply: FastifyReply, error: VirError, status?: number): FastifyReply {
  return send(reply.code(status && status < 500 ? status : error.httpStatus), error)
}

/** The same, where fastify has let go of the answer. */
export function sendErrorRaw(raw: ServerResponse, thrown: unknown): void {
  const error = toVirError(thrown)
  raw.writeHead(error.httpStatus, { 'content-type': JSON_TYPE })
  raw.end(`${formatJson(error)}\n`)
}

/** The same, to who asked for a WebSocket; ends the connection. */
export function refuseUpgrade(socket: Socket, thrown: unknown): undefined {
  const error = toVirError(thrown)
  const body = formatJson(error)
  const head = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`
  socket.end(`HTTP/1.1 ${error.httpStatus} Refused\r\n${head}\r\n\r\n${body}`)
}

/** Events as they come, to any number of clients. */
export interface EventFeed {
  /** whose they are */
  about: string
  /** calls back for each event, those still kept after the id `since` first, until its result is called */
  listen(emit: (id: number, event: string, data: object) => void, since?: number): (() => void) | Promise<() => void>
  /** ends of the streams under way */
  streams: Set<() => void>
}

/** `GET /v1/events`: they begin after the event that `since` or Last-Event-ID names. */
export function eventRoute(app: FastifyInstance, feed: EventFeed): void {
  app.get<{ Querystring: { since?: string } }>('/v1/events', async ({ query, headers }, reply) => {
    const since = wholeNumber(query.since ?? (headers['last-event-id'] as string | undefined), 'since')
    await streamEvents(reply, feed, { since })
  })
}

interface StreamOptions {
  since?: number | undefined
  /** what a call has given; comes first, as the event `result` */
  result?: object
}

/**
 * Answers with events as they come (SSE), until the client goes or the function put into `streams` is called. The head
 * is sent once no event can be missed any more.
 */
export async function streamEvents(
  reply: FastifyReply,
  { about, listen, streams }: EventFeed,
  { since, result }: StreamOptions
): Promise<void> {
  reply.hijack()
  const { raw } = reply
  let early = result ? `event: result\ndata: ${formatJson(result)}\n\n` : ''
  const write = (text: string) => {
    if (!raw.headersSent) early += text
    if (early.length > SSE_BACKLOG_MAX) raw.destroy()
    else if (!raw.headersSent) return
    else if (raw.writableLength > SSE_BACKLOG_MAX) raw.destroy()
    else raw.write(text)
  }
  const emit = (id: number, event: string, data: object) =>
    write(`id: ${id}\nevent: ${event}\ndata: ${formatJson(data)}\n\n`)
  const stop = await listen(emit, since)
  if (raw.destroyed) {
    stop()
    return
  }
  raw.writeHead(200, { 'content-type': EVENT_STREAM, 'cache-control': 'no-store' })
  raw.write(`: ${about}\n\n${early}`)
  early = ''
  const ping = setInterval(() => raw.write(':\n\n'), SSE_PING_MS)
  const end = () => raw.end()
  streams.add(end)
  raw.on('close', () => {
    clearInterval(ping)
    stop()
    streams.delete(end)
  })
}
