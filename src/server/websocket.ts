// Two-way streams over WebSocket: consoles and channels, binary frames both ways.
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { WebSocketServer } from 'ws'
import { errorsFrom, toVirError } from '../conf/error.ts'
import { formatJson } from '../conf/json.ts'
import type { ByteChannel } from '../drivers/method.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import { dispatch, resolve } from './dispatch.ts'
import { fromQuery } from './query.ts'

const fail = errorsFrom('VIR_FROM_STREAMS')

/** Largest frame taken from a client. */
const FRAME_MAX = 256 * 1024
/** A viewer that falls this far behind is let go rather than kept in memory. */
const BACKLOG_MAX = 4 * 1024 * 1024

const server = new WebSocketServer({ noServer: true, maxPayload: FRAME_MAX })

/** Turns an upgrade request into a stream; errors are answered as plain HTTP. */
export async function upgrade(
  domain: QemuDomain,
  readOnly: boolean,
  request: IncomingMessage,
  socket: Socket,
  head: Buffer
): Promise<void> {
  let channel: ByteChannel
  try {
    const url = new URL(request.url ?? '/', 'http://shim')
    const match = /^\/v1\/(?:domains\/([^/]+)\/)?(\w+)$/.exec(url.pathname)
    const api = match?.[2] ?? ''
    const wanted = match?.[1] && decodeURIComponent(match[1])
    if (wanted !== undefined && wanted !== domain.name && wanted !== domain.uuid) {
      throw fail('VIR_ERR_NO_DOMAIN', `no domain with matching name or uuid '${wanted}'`)
    }
    const method = resolve(api, readOnly)
    if (method.stream !== 'channel') throw fail('VIR_ERR_INVALID_ARG', `'${api}' is not a two-way stream`)
    channel = (await dispatch(domain, {
      api,
      args: fromQuery(Object.fromEntries(url.searchParams), method.args),
      readOnly
    })) as ByteChannel
  } catch (thrown) {
    const error = toVirError(thrown)
    const body = formatJson(error)
    socket.end(
      `HTTP/1.1 ${error.httpStatus} Refused\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
    )
    return
  }
  server.handleUpgrade(request, socket, head, client => {
    channel.onClose(reason => client.close(1000, reason))
    channel.onData(chunk => {
      if (client.bufferedAmount > BACKLOG_MAX) client.close(1013, 'too slow')
      else client.send(chunk, { binary: true })
    })
    client.on('message', data => channel.write(data as Buffer))
    client.on('close', () => channel.close())
    client.on('error', () => channel.close())
  })
}
