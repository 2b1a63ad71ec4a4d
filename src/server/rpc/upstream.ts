// Another daemon's part in what one client does: its packets go there as they are, and what comes back goes to the
// client as it is. Serials stay, so replies and streams find their callers.
//
// Neither side is read faster than the other takes it. When the other daemon is gone, what is under way ends with an
// error.
import type { VirError } from '../../conf/error.ts'
import type { RpcClient } from './client.ts'
import { type Frame, frameKey, type Header, MessageStatus, MessageType } from './frame.ts'
import { Link, type LinkListener, type LinkOptions } from './link.ts'

/** Bytes waiting for the client before the daemon is not read any more. */
const BACKLOG_MAX = 1024 * 1024

interface Pending {
  opensStream: boolean
  done(): void
  failed(error: VirError): void
}

export class Upstream implements LinkListener {
  readonly #client: RpcClient
  readonly #link: Link
  /** calls by what their replies bear; nothing keeps a client from using a serial twice */
  readonly #pending = new Map<string, Pending[]>()
  readonly #streams = new Map<string, Header>()
  #lastUse = Date.now()
  #isKept = false

  constructor(client: RpcClient, options: LinkOptions) {
    this.#client = client
    this.#link = new Link(options, this)
  }

  get isWaiting(): boolean {
    return this.#pending.size > 0 || this.#streams.size > 0
  }

  /** Nothing has been under way since then. */
  isIdle(sinceMs: number): boolean {
    return !this.#isKept && !this.isWaiting && this.#lastUse < sinceMs
  }

  /** From now on it is never idle: something there ends with it. */
  keep(): void {
    this.#isKept = true
  }

  get isClosed(): boolean {
    return this.#link.error !== undefined
  }

  /** More than it takes has been sent to the daemon. */
  get isBusy(): boolean {
    return !this.isClosed && this.#link.isBusy
  }

  /** Bytes waiting for the client have changed. */
  pace(backlog: number): void {
    if (!this.isClosed) this.#link.hold(backlog > BACKLOG_MAX)
  }

  /** Settles once the daemon can be called. @throws VIR_ERR_OPERATION_FAILED when it cannot be reached */
  opened(): Promise<void> {
    return this.#link.opened()
  }

  /**
   * Passes a call on; settles when its reply has been passed back.
   * @throws VIR_ERR_OPERATION_FAILED when the daemon is gone before
   */
  async forward(frame: Frame, opensStream: boolean): Promise<void> {
    await this.#link.opened()
    if (this.#link.error) throw this.#link.error
    await new Promise<void>((done, failed) => {
      const key = frameKey(frame)
      const alike = this.#pending.get(key) ?? []
      alike.push({ opensStream, done, failed })
      this.#pending.set(key, alike)
      if (frame.files) void this.#link.sendWith(frame.bytes, frame.files)
      else this.#link.send(frame.bytes)
    })
  }

  /** Passes a packet of a stream on; false for a stream that is not with this daemon. */
  passStream(frame: Frame): boolean {
    if (!this.#streams.has(frameKey(frame))) return false
    this.#link.send(frame.bytes)
    return true
  }

  close(): void {
    this.#link.close()
  }

  frame(frame: Frame): void {
    const { REPLY, REPLY_WITH_FDS, STREAM, STREAM_HOLE, MESSAGE } = MessageType
    const { type } = frame
    if (type === REPLY || type === REPLY_WITH_FDS) this.#replied(frame)
    else if (type === STREAM || type === STREAM_HOLE) {
      const key = frameKey(frame)
      if (!this.#streams.has(key)) return
      if (frame.status !== MessageStatus.CONTINUE) this.#streams.delete(key)
      this.#pass(frame)
    } else if (type === MESSAGE) this.#pass(frame)
  }

  #replied(frame: Frame): void {
    const key = frameKey(frame)
    const alike = this.#pending.get(key)
    const call = alike?.shift()
    if (!call) return
    if (alike!.length === 0) this.#pending.delete(key)
    this.#lastUse = Date.now()
    if (call.opensStream && frame.status === MessageStatus.OK) this.#streams.set(key, frame)
    // at once: packets of its stream may come with it
    this.#pass(frame)
    call.done()
  }

  #pass({ bytes }: Frame): void {
    this.pace(this.#client.pass(bytes))
  }

  drained(): void {
    this.#client.repace()
  }

  ended(error: VirError): void {
    for (const call of [...this.#pending.values()].flat()) call.failed(error)
    this.#pending.clear()
    for (const stream of this.#streams.values()) this.#client.failStream(stream, error)
    this.#streams.clear()
    this.#client.repace()
  }
}
