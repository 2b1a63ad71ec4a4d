// A connection that a shim would hand over as a descriptor, for a client of the aggregator: descriptors do not pass
// through, so the shim's WebSocket is joined to one end of a socket pair and the client gets the other.
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createWebSocketStream, WebSocket } from 'ws'
import { errorsFrom } from '../../conf/error.ts'
import { socketPair } from '../../host/pass-descriptor.ts'
import { errorOfJson } from '../../state/claim.ts'

const fail = errorsFrom('VIR_FROM_RPC')

const LIMIT_MS = 30_000
/** No error is longer. */
const ANSWER_MAX = 64 * 1024
const FRAME_MAX = 1024 * 1024

/**
 * Opens a two-way stream at a shim.
 * @param apiSocket the shim's
 * @param values the API's arguments
 * @param directory ours alone, for the socket pair
 * @throws what the shim answers, VIR_ERR_OPERATION_FAILED when it cannot be reached
 */
export async function handedFile(
  apiSocket: string,
  api: string,
  values: Readonly<Record<string, unknown>>,
  directory: string
): Promise<Socket> {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) query.set(name, String(value))
  const socket = new WebSocket(`ws+unix://${apiSocket}:/v1/${api}?${query}`, {
    handshakeTimeout: LIMIT_MS,
    maxPayload: FRAME_MAX,
    perMessageDeflate: false
  })
  const stream = await new Promise<Duplex>((done, refuse) => {
    // at once: what the shim says first may have come with its answer
    socket.once('open', () => done(createWebSocketStream(socket)))
    socket.once('error', error => refuse(fail('VIR_ERR_OPERATION_FAILED', `cannot reach the shim: ${error.message}`)))
    socket.once('unexpected-response', (_, answer) => readError(answer).then(refuse, refuse))
  })
  try {
    const [ours, theirs] = await socketPair(directory)
    for (const [from, to] of [
      [stream, ours],
      [ours, stream]
    ] as const) {
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
      from.pipe(to)
    }
    return theirs
  } catch (error) {
    stream.destroy()
    throw error
  }
}

async function readError(answer: IncomingMessage): Promise<Error> {
  let text = ''
  for await (const chunk of answer.setEncoding('utf8')) {
    text += chunk
    if (text.length > ANSWER_MAX) break
  }
  try {
    return errorOfJson(JSON.parse(text))
  } catch {
    return fail('VIR_ERR_OPERATION_FAILED', `the shim answered with status ${answer.statusCode}`)
  }
}
