// Calls for one guest, handed on to its shim as they came: bodies and streams are not looked into.
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { errorsFrom } from '../../conf/error.ts'
import { refuseUpgrade } from '../http-app.ts'
import { reach } from './reach.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** Headers of one connection, not of the message. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'te', 'trailer'])

const unreachable = (error: Error) =>
  fail('VIR_ERR_OPERATION_FAILED', `the guest's shim does not answer: ${error.message}`, error)

function endToEnd(headers: IncomingMessage['headers']): IncomingMessage['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name)))
}

/**
 * Sends a request to a shim and its answer back. Settles when the answer has begun.
 * @param find gives the shim's socket
 * @throws what `find` throws, VIR_ERR_OPERATION_FAILED
 */
export async function forward(
  find: () => Promise<string>,
  incoming: IncomingMessage,
  outgoing: ServerResponse
): Promise<void> {
  const shim = await reach(find)
  return new Promise((resolve, reject) => {
    const sent = request({
      createConnection: () => shim,
      method: incoming.method,
      path: incoming.url,
      // a shim that closes behind its answer may do so before it has taken the end of our request
      headers: { ...endToEnd(incoming.headers), connection: 'keep-alive' }
    })
    sent.on('response', reply => {
      outgoing.writeHead(reply.statusCode!, endToEnd(reply.headers))
      // a stream shows its head before its first byte
      outgoing.flushHeaders()
      reply.pipe(outgoing)
      reply.on('error', () => outgoing.destroy())
      reply.on('close', () => shim.destroy())
      resolve()
    })
    sent.on('error', error => (outgoing.headersSent ? outgoing.destroy() : reject(unreachable(error))))
    outgoing.on('close', () => sent.destroy())
    incoming.pipe(sent)
  })
}

/** Joins a client that asks for a WebSocket with the shim, from its request on. */
export function forwardUpgrade(
  find: () => Promise<string>,
  incoming: IncomingMessage,
  client: Socket,
  head: Buffer
): void {
  client.on('error', () => client.destroy())
  reach(find).then(
    shim => {
      shim.on('error', () => client.destroy())
      const { method, url, httpVersion, rawHeaders } = incoming
      let lines = `${method} ${url} HTTP/${httpVersion}\r\n`
      for (let i = 0; i < rawHeaders.length; i += 2) lines += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`
      shim.write(`${lines}\r\n`)
      shim.write(head)
      client.pipe(shim)
      shim.pipe(client)
      client.on('close', () => shim.destroy())
      shim.on('close', () => client.destroy())
    },
    error => refuseUpgrade(client, error)
  )
}
