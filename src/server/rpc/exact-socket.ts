// A connection of which no more is read than is wanted next. Descriptors travel with bytes, and those of bytes that
// Node.js reads are closed by the kernel: the bytes they come with have to be left for somebody who can receive them.
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net'

export interface ExactReads {
  /** the place for what is to be read next */
  room(): Uint8Array
  /** so many bytes have come into it; pausing the socket then leaves the next one unread */
  filled(count: number): void
}

/** What Node.js has of a connection that a server has accepted. */
type Accepted = Socket & { _handle: unknown }
type Options = SocketConstructorOpts & { handle: unknown; pauseOnCreate: boolean; onread: OnReadOpts }

/**
 * Takes over a connection nothing has been read of; `accepted` is closed when the new one is. It begins paused.
 *
 * Servers make their sockets without `onread`, so the handle moves to one that has it.
 */
export function exactSocket(accepted: Socket, { room, filled }: ExactReads): Socket {
  const { _handle: handle } = accepted as Accepted
  ;(accepted as Accepted)._handle = null
  const options: Options = {
    handle,
    pauseOnCreate: true,
    onread: {
      buffer: room,
      callback(count) {
        filled(count)
        return !socket.isPaused()
      }
    }
  }
  const socket: Socket = new Socket(options)
  return socket.once('close', () => accepted.destroy())
}
