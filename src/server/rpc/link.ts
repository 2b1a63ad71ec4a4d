// A connection to another daemon, a guest's shim or one of libvirt's: opened, framed, and known to be alive.
//
// While something is under way a daemon that says nothing is asked whether it is there, as libvirt's client does.
import { connect, type Socket } from 'node:net'
import { errorsFrom, type VirError } from '../../conf/error.ts'
import { KEEPALIVE_COUNT, KEEPALIVE_INTERVAL_MS } from '../../host/keepalive.ts'
import { OrderedWriter } from '../../host/ordered-writer.ts'
import type { ReceivedFiles } from '../../host/received-files.ts'
import type { Layout } from './codec.ts'
import { readFields, writeFields } from './codec.ts'
import {
  type Frame,
  FrameReader,
  type Header,
  KEEPALIVE_PROGRAM,
  MessageStatus,
  MessageType,
  makeFrame,
  PROTOCOL_VERSION,
  REMOTE_PROGRAM,
  readError,
  readerOf
} from './frame.ts'
import { findProcedure } from './procedures.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** A daemon accepts a connection and opens it within this time. */
const OPEN_LIMIT_MS = 10_000
/** Bytes waiting for the daemon before no more should be sent. */
const BACKLOG_MAX = 1024 * 1024
const PING = 1
const PONG = 2
const CONNECT_OPEN = 1
const AUTH_LIST = 66
const CONNECT_RO = 1
/** Serials of our own calls, out of the way of those passed on, which count from 0. */
const FIRST_SERIAL = 0x8000_0000

export interface LinkOptions {
  socket: string
  /** the connection to it, where that is made already */
  connection?: Socket
  /** URI the connection is opened with */
  uri: string
  readOnly: boolean
  /** libvirt's daemons let root in once it has asked how to authenticate */
  asksForAuth?: boolean
  /** the daemon, for error messages */
  what: string
}

/** Listener for packets that come in on a link. */
export interface LinkListener {
  /** a packet that is no answer to a call of our own */
  frame(frame: Frame): void
  /** the link is over */
  ended(error: VirError): void
  /** more can be sent again */
  drained?(): void
  /** something is under way beside our own calls */
  readonly isWaiting?: boolean
}

export class Link {
  readonly #options: LinkOptions
  readonly #listener: LinkListener
  readonly #socket: Socket
  readonly #out: OrderedWriter
  readonly #reader = new FrameReader()
  readonly #calls = new Map<number, { done(frame: Frame): void; failed(error: VirError): void }>()
  readonly #opened: Promise<void>
  #serial = FIRST_SERIAL
  #keepalive: NodeJS.Timeout | undefined
  #unanswered = 0
  #error: VirError | undefined

  constructor(options: LinkOptions, listener: LinkListener) {
    this.#options = options
    this.#listener = listener
    this.#socket = options.connection?.resume() ?? connect(options.socket)
    this.#out = new OrderedWriter(this.#socket)
    this.#socket.on('data', chunk => this.#receive(chunk))
    this.#socket.on('drain', () => listener.drained?.())
    this.#socket.on('error', error => this.#end(`: ${error.message}`, error))
    this.#socket.once('close', () => this.#end(''))
    this.#opened = this.#open()
    this.#opened.catch(() => undefined)
  }

  /** Settles once calls may be sent. @throws VIR_ERR_OPERATION_FAILED when the daemon cannot be reached */
  opened(): Promise<void> {
    return this.#opened
  }

  /** The reason why the link is over, undefined while it is not. */
  get error(): VirError | undefined {
    return this.#error
  }

  /** More than it takes has been sent to the daemon. */
  get isBusy(): boolean {
    return this.#out.length > BACKLOG_MAX
  }

  /** Stops reading from the daemon, or goes on. */
  hold(wait: boolean): void {
    if (wait !== this.#socket.isPaused()) this.#socket[wait ? 'pause' : 'resume']()
  }

  send(packet: Buffer): void {
    this.#out.write(packet)
    this.#watch()
  }

  /** Sends a call and its files behind it. */
  async sendWith(packet: Buffer, files: ReceivedFiles): Promise<void> {
    this.#watch()
    try {
      await this.#out.pass(packet, () => files.passTo(this.#socket))
    } catch (error) {
      // the daemon waits for a file that does not come
      this.#end(`: ${(error as Error).message}`, error)
    }
  }

  close(): void {
    this.#end(' was closed')
  }

  /**
   * One call of our own.
   * @throws what the daemon answers, VIR_ERR_OPERATION_FAILED when it is gone
   */
  async call(
    { program, procedure, layout }: { program: number; procedure: number; layout: Pick<Layout, 'args' | 'ret'> },
    args: Readonly<Record<string, unknown>> = {}
  ): Promise<Record<string, unknown>> {
    return (await this.#call({ program, procedure, layout }, args)).results
  }

  /**
   * A call of our own behind which bytes are sent.
   * @returns what its stream's packets begin with, beside its results
   * @throws as `call`
   */
  callWithStream(
    called: { program: number; procedure: number; layout: Pick<Layout, 'args' | 'ret'> },
    args: Readonly<Record<string, unknown>>
  ): Promise<{ header: Header; results: Record<string, unknown> }> {
    return this.#call(called, args)
  }

  async #call(
    { program, procedure, layout }: { program: number; procedure: number; layout: Pick<Layout, 'args' | 'ret'> },
    args: Readonly<Record<string, unknown>>
  ): Promise<{ header: Header; results: Record<string, unknown> }> {
    if (this.#error) throw this.#error
    const serial = this.#serial++
    const { CALL } = MessageType
    const header = { program, version: PROTOCOL_VERSION, procedure, type: CALL, serial, status: MessageStatus.OK }
    const packet = makeFrame(header, to => writeFields(layout.args, args, to))
    const reply = await new Promise<Frame>((done, failed) => {
      this.#calls.set(serial, { done, failed })
      this.send(packet)
    })
    const from = readerOf(reply)
    if (reply.status === MessageStatus.OK) return { header, results: readFields(layout.ret, from) }
    throw readError(from)
  }

  async #open(): Promise<void> {
    const { uri, readOnly, asksForAuth } = this.#options
    const late = setTimeout(() => this.#end(' does not answer'), OPEN_LIMIT_MS)
    late.unref()
    const own = (procedure: number) => {
      const layout = findProcedure(REMOTE_PROGRAM, procedure)!
      return { program: REMOTE_PROGRAM, procedure, layout }
    }
    try {
      if (asksForAuth) await this.call(own(AUTH_LIST))
      await this.call(own(CONNECT_OPEN), { name: uri, flags: readOnly ? CONNECT_RO : 0 })
    } catch (error) {
      this.#end(`: ${(error as Error).message}`, error)
      throw this.#error
    } finally {
      clearTimeout(late)
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
    const call = frame.type === MessageType.REPLY ? this.#calls.get(frame.serial) : undefined
    if (call) {
      this.#calls.delete(frame.serial)
      call.done(frame)
    } else if (frame.program !== KEEPALIVE_PROGRAM) this.#listener.frame(frame)
    else if (frame.procedure === PING) this.#sendKeepalive(PONG)
  }

  /** Asks after the daemon while something is under way. */
  #watch(): void {
    this.#keepalive ??= setInterval(() => {
      if (this.#calls.size === 0 && !this.#listener.isWaiting) {
        clearInterval(this.#keepalive)
        this.#keepalive = undefined
        this.#unanswered = 0
      } else if (this.#socket.isPaused() || this.#unanswered++ < KEEPALIVE_COUNT) this.#sendKeepalive(PING)
      else this.#end(' does not answer')
    }, KEEPALIVE_INTERVAL_MS)
    this.#keepalive.unref()
  }

  #sendKeepalive(procedure: number): void {
    const { MESSAGE } = MessageType
    const { OK } = MessageStatus
    const header = { program: KEEPALIVE_PROGRAM, version: PROTOCOL_VERSION, procedure }
    this.#out.write(makeFrame({ ...header, type: MESSAGE, serial: 0, status: OK }))
  }

  /** The link is over, for whatever reason. */
  #end(how: string, cause?: unknown): void {
    if (this.#error) return
    const error = fail('VIR_ERR_OPERATION_FAILED', `connection to ${this.#options.what}${how || ' ended'}`, cause)
    this.#error = error
    clearInterval(this.#keepalive)
    this.#socket.destroy()
    for (const { failed } of this.#calls.values()) failed(error)
    this.#calls.clear()
    this.#listener.ended(error)
  }
}
