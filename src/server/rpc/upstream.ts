// A connection to another daemon, a guest's shim or one of libvirt's, on behalf of one client: its packets go there as
// they are, and what comes back goes to the client as it is. Serials stay, so replies and streams find their callers.
//
// Neither side is read faster than the other takes it. When the other daemon is gone, what is under way ends with an
// error. While something is under way a daemon that says nothing is asked whether it is there, as libvirt's client does.
import { connect, type Socket } from 'node:net'
import { errorsFrom, type VirError } from '../../conf/error.ts'
import type { RpcClient } from './client.ts'
import { codecOf } from './codec.ts'
import {
  type Frame,
  FrameReader,
  frameKey,
  type Header,
  KEEPALIVE_PROGRAM,
  MessageStatus,
  MessageType,
  makeFrame,
  PROTOCOL_VERSION,
  REMOTE_PROGRAM
} from './frame.ts'
import { XdrReader, type XdrWriter } from './xdr.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** A daemon accepts a connection and opens it within this time. */
const OPEN_LIMIT_MS = 10_000
/** Bytes waiting for the daemon before the client is not read any more, and the other way round. */
const BACKLOG_MAX = 1024 * 1024
/** libvirt's keepalive_interval and keepalive_count. */
const KEEPALIVE_INTERVAL_MS = 5000
const KEEPALIVE_COUNT = 5
const PING = 1
const PONG = 2

const CONNECT_OPEN = 1
const AUTH_LIST = 66
const CONNECT_RO = 1

export interface UpstreamOptions {
  socket: string
  /** URI the connection is opened with */
  uri: string
  readOnly: boolean
  /** libvirt's daemons let root in once it has asked how to authenticate */
  asksForAuth?: true
  /** the daemon in error messages */
  what: string
  /** the connection has ended, by itself or not */
  closed?(): void
}

interface Pending {
  opensStream: boolean
  done(): void
  failed(error: VirError): void
}

export class Upstream {
  readonly #client: RpcClient
  readonly #options: UpstreamOptions
  readonly #socket: Socket
  readonly #reader = new FrameReader()
  readonly #pending = new Map<string, Pending>()
  readonly #streams = new Map<string, Header>()
  readonly #ready: Promise<void>
  #opening: ((frame?: Frame) => void) | undefined
  #keepalive: NodeJS.Timeout | undefined
  #unanswered = 0
  #error: VirError | undefined
  #waitsForClient = false
  #lastUse = Date.now()

  constructor(client: RpcClient, options: UpstreamOptions) {
    this.#client = client
    this.#options = options
    this.#socket = connect(options.socket)
    this.#socket.on('data', chunk => this.#receive(chunk))
    this.#socket.on('drain', () => client.repace())
    this.#socket.on('error', error => this.#end(`: ${error.message}`, error))
    this.#socket.once('close', () => this.#end(''))
    this.#ready = this.#open()
    this.#ready.catch(() => undefined)
  }

  /** Nothing has been under way for so long. */
  isIdle(sinceMs: number): boolean {
    return this.#pending.size === 0 && this.#streams.size === 0 && this.#lastUse < sinceMs
  }

  get isClosed(): boolean {
    return this.#error !== undefined
  }

  /** More than it takes has been sent to the daemon. */
  get isBusy(): boolean {
    return this.#socket.writableLength > BACKLOG_MAX
  }

  /** Bytes waiting for the client have changed. */
  pace(backlog: number): void {
    const wait = backlog > BACKLOG_MAX
    if (wait === this.#waitsForClient) return
    this.#waitsForClient = wait
    this.#socket[wait ? 'pause' : 'resume']()
  }

  /** Settles once the daemon can be called. @throws VIR_ERR_OPERATION_FAILED when it cannot be reached */
  ready(): Promise<void> {
    return this.#ready
  }

  /**
   * Passes a call on; settles when its reply has been passed back.
   * @throws VIR_ERR_OPERATION_FAILED when the daemon is gone before
   */
  async forward(frame: Frame, opensStream: boolean): Promise<void> {
    await this.#ready
    if (this.#error) throw this.#error
    this.#lastUse = Date.now()
    await new Promise<void>((done, failed) => {
      this.#pending.set(frameKey(frame), { opensStream, done, failed })
      this.#socket.write(frame.bytes)
      this.#watch()
    })
  }

  /** Passes a packet of a stream on; false for a stream that is not with this daemon. */
  passStream(frame: Frame): boolean {
    if (!this.#streams.has(frameKey(frame))) return false
    this.#socket.write(frame.bytes)
    return true
  }

  close(): void {
    this.#socket.destroy()
  }

  async #open(): Promise<void> {
    const { uri, readOnly, asksForAuth } = this.#options
    const late = setTimeout(() => this.#end(' does not answer'), OPEN_LIMIT_MS)
    late.unref()
    try {
      if (asksForAuth) await this.#ownCall(AUTH_LIST)
      await this.#ownCall(CONNECT_OPEN, to => {
        to.uint(1)
        to.string(uri)
        to.uint(readOnly ? CONNECT_RO : 0)
      })
    } finally {
      clearTimeout(late)
    }
  }

  /** A call of our own, before any of the client's. */
  async #ownCall(procedure: number, payload?: (to: XdrWriter) => void): Promise<void> {
    if (this.#error) throw this.#error
    const reply = await new Promise<Frame | undefined>(resolve => {
      this.#opening = resolve
      const { CALL } = MessageType
      const { OK } = MessageStatus
      this.#socket.write(
        makeFrame(
          { program: REMOTE_PROGRAM, version: PROTOCOL_VERSION, procedure, type: CALL, serial: 0, status: OK },
          payload
        )
      )
    })
    this.#opening = undefined
    if (!reply) throw this.#error
    if (reply.status !== MessageStatus.OK) {
      const { message } = codecOf('error').read(new XdrReader(reply.payload))
      this.#end(`: ${message}`)
      throw this.#error
    }
  }

  #receive(chunk: Buffer): void {
    this.#unanswered = 0
    try {
      for (const frame of this.#reader.push(chunk)) this.#dispatch(frame)
    } catch (error) {
      this.#end(' does not speak the protocol', error)
    }
  }

  #dispatch(frame: Frame): void {
    const { REPLY, REPLY_WITH_FDS, STREAM, STREAM_HOLE, MESSAGE } = MessageType
    const { type } = frame
    if (frame.program === KEEPALIVE_PROGRAM) {
      if (frame.procedure === PING) this.#sendKeepalive(PONG)
    } else if (type === REPLY || type === REPLY_WITH_FDS) this.#replied(frame)
    else if (type === STREAM || type === STREAM_HOLE) {
      const key = frameKey(frame)
      if (!this.#streams.has(key)) return
      if (frame.status !== MessageStatus.CONTINUE) this.#streams.delete(key)
      this.#pass(frame)
    } else if (type === MESSAGE) this.#pass(frame)
  }

  #replied(frame: Frame): void {
    if (this.#opening) {
      this.#opening(frame)
      return
    }
    const key = frameKey(frame)
    const call = this.#pending.get(key)
    if (!call) return
    this.#pending.delete(key)
    this.#lastUse = Date.now()
    if (call.opensStream && frame.status === MessageStatus.OK) this.#streams.set(key, frame)
    // at once: packets of its stream may come with it
    this.#pass(frame)
    call.done()
  }

  #pass({ bytes }: Frame): void {
    this.pace(this.#client.pass(bytes))
  }

  /** Asks after the daemon while something is under way. */
  #watch(): void {
    this.#keepalive ??= setInterval(() => {
      if (this.#pending.size === 0 && this.#streams.size === 0) {
        clearInterval(this.#keepalive)
        this.#keepalive = undefined
        this.#unanswered = 0
      } else if (this.#waitsForClient || this.#unanswered++ < KEEPALIVE_COUNT) this.#sendKeepalive(PING)
      else this.#end(' does not answer')
    }, KEEPALIVE_INTERVAL_MS)
    this.#keepalive.unref()
  }

  #sendKeepalive(procedure: number): void {
    const { MESSAGE } = MessageType
    const { OK } = MessageStatus
    this.#socket.write(
      makeFrame({
        program: KEEPALIVE_PROGRAM,
        version: PROTOCOL_VERSION,
        procedure,
        type: MESSAGE,
        serial: 0,
        status: OK
      })
    )
  }

  /** The connection is over, for whatever reason; everything under way fails. */
  #end(how: string, cause?: unknown): void {
    if (this.#error) return
    const { what, closed } = this.#options
    const error = fail('VIR_ERR_OPERATION_FAILED', `lost connection to ${what}${how}`, cause)
    this.#error = error
    clearInterval(this.#keepalive)
    this.#socket.destroy()
    this.#opening?.()
    for (const call of this.#pending.values()) call.failed(error)
    this.#pending.clear()
    for (const stream of this.#streams.values()) this.#client.failStream(stream, error)
    this.#streams.clear()
    closed?.()
    this.#client.repace()
  }
}
