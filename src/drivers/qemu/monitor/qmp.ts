// QEMU's monitor: framing, ids, replies in any order, exact integers, error mapping. A peer that falls silent, talks
// nonsense or goes away ends every waiting call in an error; nothing here waits without a limit.
import { EventEmitter } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Duplex, Readable, Writable } from 'node:stream'
import { errorsFrom, type VirError } from '../../../conf/error.ts'
import { formatJson, parseJson } from '../../../conf/json.ts'
import { OrderedWriter } from '../../../host/ordered-writer.ts'
import type { PassableFile } from '../../../host/pass-file.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Longest reply taken, as libvirt's QEMU_MONITOR_MAX_RESPONSE. */
const MAX_LINE_BYTES = 10 * 1024 * 1024
/** Limit of a call for which the caller gives none. */
export const QMP_TIMEOUT_MS = 30_000
/** A file travels with a byte: one that JSON has no meaning for. */
const BLANK = 0x20

export interface QmpEvent {
  event: string
  data: Record<string, unknown>
  /** host time in microseconds since the epoch */
  timestampUs: number
}

export interface ExecuteOptions {
  timeoutMs?: number
  signal?: AbortSignal
  /** hand QEMU's error to the caller as it is (`class`, `desc`) instead of mapping it */
  raw?: boolean
  /** handed to QEMU along with the command, which takes it: getfd, add-fd */
  file?: PassableFile
}

/** QEMU's own error reply. */
export class QmpError extends Error {
  readonly class: string
  constructor(cls: string, desc: string) {
    super(desc)
    this.class = cls
  }
}

interface Waiting {
  command: string
  resolve(value: unknown): void
  reject(error: Error): void
}

/**
 * One monitor connection. Emits 'event' (QmpEvent) and, once, 'close' (VirError saying why).
 * Invariant: after 'close' no call is waiting and every new call fails with that error.
 */
export class QmpMonitor extends EventEmitter<{ event: [QmpEvent]; close: [VirError] }> {
  #nextId = 1
  #waiting = new Map<string, Waiting>()
  #partial: Buffer[] = []
  #partialBytes = 0
  #greeting: { resolve(): void; reject(error: Error): void } | undefined
  #closed: VirError | undefined
  #isBroken = false
  readonly #readable: Readable
  readonly #writable: Writable
  readonly #commands: OrderedWriter

  constructor(readable: Readable, writable: Writable) {
    super()
    this.#readable = readable
    this.#writable = writable
    this.#commands = new OrderedWriter(writable)
    readable.on('data', chunk => this.#receive(chunk))
    readable.on('end', () => this.#end(fail('VIR_ERR_INTERNAL_ERROR', 'End of file from qemu monitor')))
    readable.on('close', () => this.#end(fail('VIR_ERR_INTERNAL_ERROR', 'End of file from qemu monitor')))
    const broken = (error: Error) => this.#break(`Unable to read from monitor: ${error.message}`, error)
    readable.on('error', broken)
    if ((writable as unknown) !== readable) writable.on('error', broken)
  }

  get closed(): boolean {
    return this.#closed !== undefined
  }

  /** It ended by an error, rather than by QEMU's end or by close(). */
  get isBroken(): boolean {
    return this.#isBroken
  }

  /** The id the next command is sent under. */
  get nextId(): string {
    return `libvirt-${this.#nextId}`
  }

  /** Waits for QEMU's greeting and leaves negotiation mode. */
  async handshake(timeoutMs = QMP_TIMEOUT_MS): Promise<void> {
    await this.#timed('greeting', timeoutMs, undefined, (resolve, reject) => {
      this.#greeting = { resolve: () => resolve(undefined), reject }
      return () => {
        this.#greeting = undefined
      }
    })
    await this.execute('qmp_capabilities', undefined, { timeoutMs })
  }

  /**
   * Sends one command and waits for its answer.
   * @throws VIR_ERR_INTERNAL_ERROR with QEMU's words, VIR_ERR_OPERATION_TIMEOUT, VIR_ERR_OPERATION_ABORTED (signal)
   */
  async execute<T = unknown>(command: string, args?: object, options: ExecuteOptions = {}): Promise<T> {
    const id = this.nextId
    this.#nextId++
    try {
      return (await this.#timed(command, options.timeoutMs ?? QMP_TIMEOUT_MS, options.signal, (resolve, reject) => {
        this.#waiting.set(id, { command, resolve, reject })
        this.#send(`${formatJson({ execute: command, arguments: args, id })}\r\n`, options.file).catch(reject)
        return () => this.#waiting.delete(id)
      })) as T
    } catch (error) {
      if (!(error instanceof QmpError) || options.raw) throw error
      throw fail('VIR_ERR_INTERNAL_ERROR', `unable to execute QEMU command '${command}': ${error.message}`, error)
    }
  }

  /** Sends a command. A file's byte goes right before it: QEMU keeps none but the last file it was handed. */
  async #send(line: string, file?: PassableFile): Promise<void> {
    if (!file) return this.#commands.write(line)
    const to = this.#writable as Socket
    await this.#commands.pass('', async () => {
      await file.passTo(to, BLANK)
      to.write(line)
    })
  }

  /**
   * Hands QEMU an open connection of ours, or a file of a client's, which commands know by that name from then on (getfd).
   * @throws VIR_ERR_SYSTEM_ERROR when it cannot be passed, and what execute throws
   */
  async passFile(fdname: string, file: Socket | PassableFile): Promise<void> {
    const passTo: PassableFile['passTo'] = async (to, byte) => {
      const { passDescriptor } = await import('../../../host/pass-descriptor.ts')
      await passDescriptor(to, file as Socket, byte)
    }
    await this.execute('getfd', { fdname }, { file: 'passTo' in file ? file : { passTo } })
  }

  /** Lets go of the connection; QEMU goes on. */
  close(): void {
    this.#end(fail('VIR_ERR_OPERATION_FAILED', 'monitor closed'))
  }

  async #timed(
    what: string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    start: (resolve: (value: unknown) => void, reject: (error: Error) => void) => () => void
  ): Promise<unknown> {
    if (this.#closed) throw this.#closed
    if (signal?.aborted) throw fail('VIR_ERR_OPERATION_ABORTED', `QEMU command '${what}' was cancelled`)
    let cleanup = () => {}
    try {
      return await new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          reject(fail('VIR_ERR_OPERATION_TIMEOUT', `QEMU monitor did not answer '${what}' within ${timeoutMs} ms`))
        }, timeoutMs)
        const aborted = () => reject(fail('VIR_ERR_OPERATION_ABORTED', `QEMU command '${what}' was cancelled`))
        signal?.addEventListener('abort', aborted, { once: true })
        const forget = start(resolve, reject)
        cleanup = () => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', aborted)
          forget()
        }
      })
    } finally {
      cleanup()
    }
  }

  #receive(chunk: Buffer): void {
    let rest = chunk
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = Buffer.concat([...this.#partial, rest.subarray(0, end)])
      this.#partial = []
      this.#partialBytes = 0
      rest = rest.subarray(end + 1)
      this.#line(line.toString('utf8'))
      if (this.#closed) return
    }
    if (rest.length === 0) return
    this.#partial.push(rest)
    this.#partialBytes += rest.length
    if (this.#partialBytes > MAX_LINE_BYTES) {
      this.#break(`QEMU monitor reply exceeds ${MAX_LINE_BYTES} bytes`)
    }
  }

  #line(line: string): void {
    if (line.trim() === '') return
    let message: Record<string, unknown> | undefined
    try {
      const parsed = parseJson(line)
      if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) message = parsed as typeof message
    } catch {}
    if (!message) {
      this.#break(`cannot parse json ${line.slice(0, 200)}: not a QEMU monitor message`)
    } else if (typeof message.event === 'string') {
      this.emit('event', {
        event: message.event,
        data: (message.data ?? {}) as Record<string, unknown>,
        timestampUs: microseconds(message.timestamp)
      })
    } else if ('QMP' in message) this.#greeting?.resolve()
    else this.#reply(message)
  }

  #reply(message: Record<string, unknown>): void {
    const waiting = this.#waiting.get(String(message.id))
    if ('return' in message) waiting?.resolve(message.return)
    else if (typeof message.error === 'object' && message.error !== null) {
      const { class: cls, desc } = message.error as Record<string, unknown>
      const error = new QmpError(String(cls), String(desc))
      if (waiting) waiting.reject(error)
      else if (message.id === undefined) this.#break(`QEMU monitor: ${error.message}`, error)
    } else this.#break('unexpected message from QEMU monitor')
  }

  #break(why: string, cause?: Error): void {
    this.#isBroken ||= !this.closed
    this.#end(fail('VIR_ERR_INTERNAL_ERROR', why, cause))
  }

  #end(reason: VirError): void {
    if (this.#closed) return
    this.#closed = reason
    this.#greeting?.reject(reason)
    for (const waiting of [...this.#waiting.values()]) waiting.reject(reason)
    this.#readable.destroy()
    this.#writable.destroy()
    this.emit('close', reason)
  }
}

function microseconds(timestamp: unknown): number {
  const { seconds, microseconds } = (timestamp ?? {}) as { seconds?: unknown; microseconds?: unknown }
  if (typeof seconds !== 'number') return Date.now() * 1000
  return seconds * 1_000_000 + (typeof microseconds === 'number' ? microseconds : 0)
}

/**
 * Connects to a monitor socket and shakes hands. QEMU serves one connection at a time: a failed one is let go of.
 * @throws VIR_ERR_OPERATION_FAILED when nobody listens, else as handshake
 */
export async function connectQmp(path: string, timeoutMs = QMP_TIMEOUT_MS): Promise<QmpMonitor> {
  const socket: Duplex = connect(path)
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', error =>
      reject(fail('VIR_ERR_OPERATION_FAILED', `failed to connect to monitor socket '${path}': ${error.message}`, error))
    )
  })
  const monitor = new QmpMonitor(socket, socket)
  try {
    await monitor.handshake(timeoutMs)
  } catch (error) {
    monitor.close()
    throw error
  }
  return monitor
}
