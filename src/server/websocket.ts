// Two-way streams over WebSocket: consoles and channels, binary frames both ways.
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { WebSocketServer } from 'ws'
import { errorsFrom } from '../conf/error.ts'
import { type ByteChannel, isTwoWay } from '../drivers/method.ts'
import { dispatch, rowFor, type Served } from './dispatch.ts'
import { checkSource, refuseUpgrade } from './http-app.ts'
import { fromQuery, queryOf } from './query.ts'

const fail = errorsFrom('VIR_FROM_STREAMS')

/** Largest frame taken from a client. */
const FRAME_MAX = 256 * 1024
/** A viewer that falls this far behind is let go rather than kept in memory. */
const BACKLOG_MAX = 4 * 1024 * 1024

/** The channel an upgrade request asks for. @throws as a call does, VIR_ERR_INVALID_ARG without two-way stream */
async function channelOf(served: Served, readOnly: boolean, request: IncomingMessage): Promise<ByteChannel> {
  const { url, headers } = request
  checkSource(headers)
  const { pathname, searchParams } = new URL(url ?? '/', 'http://shim')
  const [, guest, api = ''] = /^\/v1\/(?:domains\/([^/]+)\/)?(\w+)$/.exec(pathname) ?? []
  const row = rowFor(served, api, readOnly)
  if (!isTwoWay(row)) throw fail('VIR_ERR_INVALID_ARG', `'${api}' is not a two-way stream`)
  const values = fromQuery(queryOf(searchParams), row.args)
  const call = { row, values, readOnly, guest: guest && decodeURIComponent(guest) }
  return (await dispatch(served, call)) as ByteChannel
}

/** Turns upgrade requests into streams; errors are answered as plain HTTP. */
export function createUpgrade(
  served: Served,
  readOnly: boolean
): (request: IncomingMessage, socket: Socket, head: Buffer) => Promise<void> {
  const server = new WebSocketServer({ noServer: true, maxPayload: FRAME_MAX })
  return async (request, socket, head) => {
    const channel = await channelOf(served, readOnly, request).catch(error => refuseUpgrade(socket, error))
    if (!channel) return
    server.handleUpgrade(request, socket, head, client => {
      channel.onClose(reason => client.close(1000, reason))
      channel.onData(chunk => {
        if (client.bufferedAmount > BACKLOG_MAX) client.close(1013, 'too slow')
        else client.send(chunk, { binary: true })
      })
      client.on('message', data => {
        if (!channel.write(data as Buffer)) client.pause()
      })
      channel.onDrain(() => client.resume())
      client.on('close', () => channel.close())
      client.on('error', () => channel.close())
    })
  }
}
