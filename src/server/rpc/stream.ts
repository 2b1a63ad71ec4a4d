// The server's end of an RPC stream: a two-way byte channel of the guest, or bytes to be sent once.
import { errorsFrom, type VirError } from '../../conf/error.ts'
import type { ByteChannel } from '../../drivers/method.ts'
import { STREAM_PAYLOAD_MAX } from './frame.ts'

const fail = errorsFrom('VIR_FROM_STREAMS')

/** Bytes waiting for a client that a live channel, which cannot be held back, may add to. */
const LIVE_BACKLOG_MAX = 4 * 1024 * 1024
/** Bytes waiting for a client before a body goes on. */
const BODY_BACKLOG_MAX = 512 * 1024

/** Outlet of a stream's packets. */
export interface StreamOutput {
  /** sends data; an empty chunk is the end */
  data(chunk: Buffer): void
  /** ends the stream */
  error(error: VirError): void
  /** bytes that wait to be sent to this client */
  backlog(): number
  /** more can be taken from the client again */
  resume(): void
}

export interface RpcStream {
  open(output: StreamOutput): void
  /** data from the client */
  write(data: Buffer): void
  /** the guest is behind: the client is not to be read until `resume` */
  readonly isBusy?: boolean
  /** the client finished or is gone */
  abandon(): void
  /** bytes waiting for the client have changed */
  pace(backlog: number): void
}

/**
 * A console or channel. A client that reads too slowly is cut off: the guest's other viewers are not held up. One that
 * writes faster than the guest reads waits, with all its connection, as libvirtd has it wait.
 */
export function channelStream(channel: ByteChannel): RpcStream {
  let over = false
  let isBusy = false
  const end = () => {
    over = true
    isBusy = false
    channel.close()
  }
  return {
    open(output) {
      channel.onDrain(() => {
        isBusy = false
        output.resume()
      })
      channel.onClose(() => {
        if (over) return
        end()
        output.data(Buffer.alloc(0))
        output.resume()
      })
      channel.onData(chunk => {
        if (over) return
        if (output.backlog() <= LIVE_BACKLOG_MAX) output.data(chunk)
        else {
          end()
          output.error(fail('VIR_ERR_RPC', 'stream client reads too slowly'))
        }
      })
    },
    write(data) {
      if (!over) isBusy = !channel.write(Buffer.from(data))
    },
    get isBusy() {
      return isBusy && !over
    },
    abandon: end,
    pace: () => undefined
  }
}

/** Bytes that are all there, sent as fast as the client takes them. */
export function bodyStream(body: Buffer): RpcStream {
  let at = 0
  let output: StreamOutput | undefined
  const pump = (backlog: number) => {
    while (output && backlog <= BODY_BACKLOG_MAX) {
      const chunk = body.subarray(at, at + STREAM_PAYLOAD_MAX)
      at += chunk.length
      output.data(chunk)
      if (chunk.length === 0) output = undefined
      else backlog = output.backlog()
    }
  }
  return {
    open(to) {
      output = to
      pump(to.backlog())
    },
    write: () => undefined,
    abandon() {
      output = undefined
    },
    pace: pump
  }
}
