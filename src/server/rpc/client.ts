// One connected client: packets in, replies, events and streams out, within limits.
//
// Replies may overtake each other, as in libvirt. Events leave in order and after the replies that were ready before
// them. A client that does not read is not read either, and one that lets events pile up is closed.
import { setMaxListeners } from 'node:events'
import type { Socket } from 'node:net'
import { errorsFrom, toVirError, type VirError } from '../../conf/error.ts'
import type { Log } from '../../drivers/qemu/domain/domain.ts'
import { KEEPALIVE_COUNT, KEEPALIVE_INTERVAL_MS } from '../../host/keepalive.ts'
import { OrderedWriter } from '../../host/ordered-writer.ts'
import type { ReceivedFiles } from '../../host/received-files.ts'
import { exactSocket } from './exact-socket.ts'
import {
  type Frame,
  FrameReader,
  frameKey,
  type Header,
  KEEPALIVE_PROGRAM,
  MessageStatus,
  MessageType,
  makeFrame,
  makeRawFrame,
  PROTOCOL_VERSION,
  payloadOf,
  QEMU_PROGRAM,
  REMOTE_PROGRAM,
  withoutFiles,
  writeError
} from './frame.ts'
import type { RpcStream } from './stream.ts'
import type { XdrWriter } from './xdr.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** Calls of one client under way before it is not read any more; libvirt's max_client_requests. */
const CALLS_MAX = 5
/** Bytes waiting for a client before it is not read any more. */
const REPLY_BACKLOG_MAX = 1024 * 1024
/** Bytes waiting for a client when it is closed rather than sent another event. */
const EVENT_BACKLOG_MAX = 4 * 1024 * 1024
/** A client that has its last answer closes the connection itself, and may complain when it is closed before. */
const LEAVE_MS = 500
const PING = 1
const PONG = 2

/** Result of a call: fields written by `write`, and a byte stream that goes on under its serial. */
export interface Reply {
  write?(to: XdrWriter): void
  stream?: RpcStream
  /** connections that go with the reply (VIR_NET_REPLY_WITH_FDS); they are closed here once they are sent */
  files?: readonly Socket[]
  /** somebody else's reply has been passed on already */
  sent?: true
}

/** Carries out the calls of one client. */
export interface RpcHandler {
  /** replies without a promise if the result is known at once */
  call(frame: Frame, signal: AbortSignal): Reply | Promise<Reply>
  /** the client is gone */
  closed(): void
  /** A packet of a stream; false for one that is not passed on. */
  passStream?(frame: Frame): boolean
  /** more cannot be taken from the client now */
  readonly isBusy?: boolean
  /** bytes waiting for the client have changed */
  pace?(backlog: number): void
  /** room for the files that follow a call; undefined where it takes none */
  roomFor?(call: Frame): Promise<ReceivedFiles> | undefined
}

export class RpcClient {
  readonly #socket: Socket
  readonly #log: Log
  readonly #handler: RpcHandler
  readonly #reader = new FrameReader()
  readonly #abort = new AbortController()
  readonly #streams = new Map<string, RpcStream>()
  #waiting: Frame[] = []
  #calls = 0
  #events: Buffer[] = []
  #keepalive: NodeJS.Timeout | undefined
  #unanswered = 0
  #finishing = false
  /** what comes next are files and no bytes to be read */
  #filesAhead = false
  readonly #out: OrderedWriter
  readonly #gone: Promise<void>

  /** @param accepted is not used any more, but closed with the client */
  constructor(accepted: Socket, log: Log, makeHandler: (client: RpcClient) => RpcHandler) {
    const socket = exactSocket(accepted, {
      room: () => this.#reader.room,
      filled: count => this.#receive(count)
    })
    this.#socket = socket
    this.#out = new OrderedWriter(socket)
    this.#log = log
    this.#handler = makeHandler(this)
    // any number of guests may end with it
    setMaxListeners(0, this.#abort.signal)
    socket.on('drain', () => this.#pace())
    socket.on('error', () => socket.destroy())
    this.#gone = new Promise(resolve =>
      socket.once('close', () => {
        this.#closed()
        resolve()
      })
    )
    socket.resume()
  }

  /**
   * Ends the connection once everything that waits has been sent. Both directions at once: of one that is closed by
   * half libvirt's client says that it failed, not that it ended.
   */
  close(): void {
    this.#socket.write(Buffer.alloc(0), () => this.#socket.destroy())
  }

  /**
   * Lets the calls under way be answered and the client go by itself, then ends the connection; settles when it is gone.
   */
  finish(): Promise<void> {
    this.#finishing = true
    if (this.#calls === 0) this.#endSoon()
    return this.#gone
  }

  /** Its daemon ends: nothing may be begun any more. */
  get isFinishing(): boolean {
    return this.#finishing
  }

  #endSoon(): void {
    setTimeout(() => this.close(), LEAVE_MS)
  }

  #closed(): void {
    clearInterval(this.#keepalive)
    this.#abort.abort()
    this.#waiting = []
    for (const stream of this.#streams.values()) stream.abandon()
    this.#streams.clear()
    this.#handler.closed()
  }

  #receive(count: number): void {
    this.#unanswered = 0
    try {
      const frame = this.#reader.filled(count)
      if (!frame) return
      this.#dispatch(frame)
    } catch (error) {
      this.#log.info({ reason: (error as Error).message }, 'RPC client does not speak the protocol')
      this.#socket.destroy()
    }
    this.#pace()
  }

  /** Reads on only while replies get away and calls get done. */
  #pace(): void {
    const backlog = this.#out.length
    const full = this.#waiting.length > 0 || backlog > REPLY_BACKLOG_MAX || this.#handler.isBusy === true
    const busy = full || this.#filesAhead || this.#isAhead
    if (busy !== this.#socket.isPaused()) this.#socket[busy ? 'pause' : 'resume']()
    for (const stream of this.#streams.values()) stream.pace(backlog)
    this.#handler.pace?.(backlog)
  }

  /** The guest is behind with what this client has written to a stream. */
  get #isAhead(): boolean {
    for (const stream of this.#streams.values()) if (stream.isBusy) return true
    return false
  }

  /** Looks anew whether the handler can take more. */
  repace(): void {
    if (!this.#socket.destroyed) this.#pace()
  }

  /** Sends a packet of somebody else's. @returns the bytes that wait for the client now */
  pass(packet: Buffer): number {
    this.#send(packet)
    return this.#out.length
  }

  /** Ends somebody else's stream with an error. */
  failStream(call: Header, error: VirError): void {
    this.#sendError(call, error, MessageType.STREAM)
  }

  #dispatch(frame: Frame): void {
    const { CALL, CALL_WITH_FDS, STREAM, STREAM_HOLE } = MessageType
    const { program, type } = frame
    if (program === KEEPALIVE_PROGRAM) this.#keepAlive(frame)
    else if (type === STREAM || type === STREAM_HOLE) this.#streamed(frame)
    else if (type !== CALL && type !== CALL_WITH_FDS) return
    else {
      this.#filesAhead = type === CALL_WITH_FDS
      if (this.#calls >= CALLS_MAX) this.#waiting.push(frame)
      else void this.#call(frame)
    }
  }

  async #call(call: Frame): Promise<void> {
    this.#calls++
    let frame = call
    try {
      if (call.type === MessageType.CALL_WITH_FDS) frame = await this.#receiveFiles(call)
      checkCall(frame)
      const answer = this.#handler.call(frame, this.#abort.signal)
      const reply = answer instanceof Promise ? await answer : answer
      if (reply.sent) return
      if (reply.files) await this.#replyWith(frame, reply.files)
      else this.#send(makeFrame(answerTo(frame, MessageType.REPLY, MessageStatus.OK), to => reply.write?.(to)))
      if (reply.stream) this.#openStream(frame, reply.stream)
    } catch (thrown) {
      this.#sendError(frame, thrown, MessageType.REPLY)
    } finally {
      frame.files?.drop()
      this.#calls--
      const next = this.#waiting.shift()
      if (next) void this.#call(next)
      else if (this.#finishing && this.#calls === 0) this.#endSoon()
      this.#pace()
    }
  }

  /**
   * Gives the call with the files that follow it; those of a call that takes none are passed over.
   * @throws VIR_ERR_SYSTEM_ERROR when something else follows, which ends the connection as libvirt ends it
   */
  async #receiveFiles(call: Frame): Promise<Frame> {
    let files: ReceivedFiles | undefined
    try {
      files = await this.#handler.roomFor?.(call)
    } finally {
      if (!files) this.#passFilesOver(call)
    }
    if (!files) return withoutFiles(call)
    try {
      await files.receive(this.#socket, this.#abort.signal)
    } catch (error) {
      this.#log.info({ reason: (error as Error).message }, 'RPC client does not send the files it has announced')
      files.drop()
      this.#socket.destroy()
      throw error
    }
    this.#filesAhead = false
    this.#pace()
    return { ...call, files }
  }

  /** The kernel closes what goes with bytes that are read. */
  #passFilesOver({ fileCount }: Frame): void {
    this.#reader.skip(fileCount)
    this.#filesAhead = false
  }

  /** Sends files behind their reply, one byte each. */
  async #replyWith(call: Frame, files: readonly Socket[]): Promise<void> {
    const head = makeFrame(answerTo(call, MessageType.REPLY_WITH_FDS, MessageStatus.OK), to => to.uint(files.length))
    try {
      await this.#out.pass(head, async () => {
        const { passDescriptor } = await import('../../host/pass-descriptor.ts')
        for (const file of files) await passDescriptor(this.#socket, file)
      })
    } catch (error) {
      // the client waits for a file that does not come
      this.#log.error({ err: error }, 'a file could not be passed')
      this.#socket.destroy()
    } finally {
      for (const file of files) file.destroy()
    }
  }

  #sendError(to: Header, thrown: unknown, type: number): void {
    const error = toVirError(thrown, 'VIR_FROM_RPC')
    if (error.cause !== undefined) this.#log.debug({ err: error }, 'RPC call failed')
    this.#send(makeFrame(answerTo(to, type, MessageStatus.ERROR), out => writeError(error, out)))
  }

  #send(...packets: Buffer[]): void {
    if (!this.#socket.writable) return
    for (const packet of packets) this.#out.write(packet)
  }

  /** Sends a message of the program's own accord, after the replies that are ready now. */
  event(program: number, procedure: number, write: (to: XdrWriter) => void): void {
    if (this.#events.length === 0) setImmediate(() => this.#sendEvents())
    this.#events.push(
      makeFrame(
        {
          program,
          version: PROTOCOL_VERSION,
          procedure,
          type: MessageType.MESSAGE,
          serial: 0,
          status: MessageStatus.OK
        },
        write
      )
    )
  }

  #sendEvents(): void {
    const events = this.#events
    this.#events = []
    if (this.#out.length > EVENT_BACKLOG_MAX) {
      this.#log.warn({ backlog: this.#out.length }, 'RPC client reads too slowly for its events, closing it')
      this.#socket.destroy()
      return
    }
    this.#send(...events)
  }

  // Keepalive: both sides may ask at any time; we ask once the client said that it answers.

  #keepAlive({ procedure }: Frame): void {
    if (procedure === PING) this.#sendKeepalive(PONG)
  }

  #sendKeepalive(procedure: number): void {
    const { MESSAGE } = MessageType
    this.#send(
      makeFrame({
        program: KEEPALIVE_PROGRAM,
        version: PROTOCOL_VERSION,
        procedure,
        type: MESSAGE,
        serial: 0,
        status: MessageStatus.OK
      })
    )
  }

  /** From now on asks a silent client whether it is there, and closes it when it is not. */
  startKeepalive(): void {
    this.#keepalive ??= setInterval(() => {
      // the answers of one that waits for the guest are not read
      if (this.#isAhead || this.#unanswered++ < KEEPALIVE_COUNT) this.#sendKeepalive(PING)
      else {
        this.#log.info({}, 'RPC client does not answer, closing it')
        this.#socket.destroy()
      }
    }, KEEPALIVE_INTERVAL_MS)
    this.#keepalive.unref()
  }

  // Streams: packets both ways under the serial of the call that opened them.

  #openStream(call: Frame, stream: RpcStream): void {
    const key = frameKey(call)
    this.#streams.set(key, stream)
    stream.open({
      data: chunk => this.#send(...makeRawFrame(answerTo(call, MessageType.STREAM, MessageStatus.CONTINUE), chunk)),
      error: error => {
        this.#streams.delete(key)
        this.#sendError(call, error, MessageType.STREAM)
      },
      backlog: () => this.#out.length,
      resume: () => this.repace()
    })
  }

  #streamed(frame: Frame): void {
    if (this.#handler.passStream?.(frame)) return
    const key = frameKey(frame)
    const stream = this.#streams.get(key)
    // data may still come for a stream that was closed
    if (!stream) return
    if (frame.type === MessageType.STREAM && frame.status === MessageStatus.CONTINUE) {
      stream.write(payloadOf(frame))
      return
    }
    this.#streams.delete(key)
    stream.abandon()
    const refused = this.#refusal(frame)
    if (refused) this.#sendError(frame, refused, MessageType.STREAM)
    else this.#send(makeFrame(answerTo(frame, MessageType.STREAM, MessageStatus.OK)))
  }

  /** Finish and abort are confirmed, anything else ends a stream with an error. */
  #refusal({ type, status }: Frame): VirError | undefined {
    if (type === MessageType.STREAM_HOLE) return fail('VIR_ERR_RPC', 'Unexpected stream hole')
    if (status === MessageStatus.OK || status === MessageStatus.ERROR) return undefined
    return fail('VIR_ERR_RPC', `stream aborted with unexpected status ${status}`)
  }
}

const answerTo = ({ program, version, procedure, serial }: Header, type: number, status: number): Header => ({
  program,
  version,
  procedure,
  type,
  serial,
  status
})

/** libvirt's checks before it looks for the procedure. */
function checkCall({ program, version, status }: Frame): void {
  if (program !== REMOTE_PROGRAM && program !== QEMU_PROGRAM) {
    throw fail('VIR_ERR_RPC', `Cannot find program ${program} version ${version}`)
  }
  if (version !== PROTOCOL_VERSION) {
    throw fail('VIR_ERR_RPC', `version mismatch (actual ${version.toString(16)}, expected ${PROTOCOL_VERSION})`)
  }
  if (status !== MessageStatus.OK) throw fail('VIR_ERR_RPC', `Unexpected message status ${status}`)
}
