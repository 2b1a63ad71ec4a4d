// The guest agent's channel. The guest is untrusted: replies are bounded, matched by sync id, and never awaited
// without a limit.
import { connect, type Socket } from 'node:net'
import { errorsFrom } from '../../../conf/error.ts'
import { formatJson, parseJson } from '../../../conf/json.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** libvirt's VIR_DOMAIN_QEMU_AGENT_COMMAND_DEFAULT. */
export const AGENT_TIMEOUT_MS = 5_000
const NOT_CONNECTED = 'QEMU guest agent is not connected'
const MAX_REPLY_BYTES = 10 * 1024 * 1024

interface Waiting {
  /** of the synchronisation that is to be answered; anything else is let pass */
  syncId: number | undefined
  resolve(message: Record<string, unknown>): void
  reject(error: Error): void
}

/**
 * The agent of a guest, if it can be asked (qemuDomainAgentAvailable).
 * @throws VIR_ERR_OPERATION_INVALID unless the guest runs, VIR_ERR_ARGUMENT_UNSUPPORTED without an agent channel,
 *   VIR_ERR_AGENT_UNRESPONSIVE when nobody listens in the guest
 */
export function availableAgent({ isRunning, agent }: { isRunning: boolean; agent: Agent | undefined }): Agent {
  if (!isRunning) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is not running')
  if (!agent) throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', 'QEMU guest agent is not configured')
  if (!agent.connected) throw fail('VIR_ERR_AGENT_UNRESPONSIVE', NOT_CONNECTED)
  return agent
}

/** One agent channel; a single command is under way at a time, others queue. */
export class Agent {
  readonly #path: string
  #socket: Socket | undefined
  #buffer = ''
  #waiting: Waiting | undefined
  #queue: Promise<unknown> = Promise.resolve()
  #syncId = Math.floor(Math.random() * 2 ** 31)
  /** the guest's end is open (VSERPORT_CHANGE) */
  connected = false

  constructor(path: string) {
    this.#path = path
  }

  /**
   * Runs one agent command.
   * @param timeoutMs limit for the reply; null waits until the guest goes away
   * @throws VIR_ERR_AGENT_UNRESPONSIVE, VIR_ERR_INTERNAL_ERROR with the agent's own words
   */
  execute<T = unknown>(command: string, args?: object, timeoutMs: number | null = AGENT_TIMEOUT_MS): Promise<T> {
    return this.raw<T>({ execute: command, arguments: args }, timeoutMs)
  }

  /** As execute, with the whole command object. */
  raw<T = unknown>(command: object, timeoutMs: number | null = AGENT_TIMEOUT_MS): Promise<T> {
    const run = this.#queue.then(() => this.#exchange(command, timeoutMs))
    this.#queue = run.catch(() => undefined)
    return run as Promise<T>
  }

  close(): void {
    this.#drop(fail('VIR_ERR_AGENT_UNRESPONSIVE', NOT_CONNECTED))
  }

  async #exchange(command: object, timeoutMs: number | null): Promise<unknown> {
    if (!this.connected) throw fail('VIR_ERR_AGENT_UNRESPONSIVE', NOT_CONNECTED)
    const socket = await this.#open()
    const id = this.#syncId++
    socket.write(`\xff${formatJson({ execute: 'guest-sync-delimited', arguments: { id } })}\n`, 'latin1')
    await this.#next('guest-sync', timeoutMs === null ? AGENT_TIMEOUT_MS : Math.max(timeoutMs, 1000), id)
    socket.write(`${formatJson(command)}\n`)
    const name = String((command as { execute?: unknown }).execute)
    const reply = await this.#next(name, timeoutMs)
    if ('return' in reply) return reply.return
    const { desc, class: cls } = (reply.error ?? {}) as { desc?: string; class?: string }
    if (cls === 'CommandNotFound') {
      throw fail('VIR_ERR_OPERATION_UNSUPPORTED', `guest agent does not support command '${name}'`)
    }
    throw fail('VIR_ERR_INTERNAL_ERROR', `unable to execute QEMU agent command '${name}': ${desc ?? 'no reason given'}`)
  }

  async #open(): Promise<Socket> {
    if (this.#socket && !this.#socket.destroyed) return this.#socket
    const socket = connect(this.#path)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', error =>
        reject(fail('VIR_ERR_AGENT_UNRESPONSIVE', `cannot reach guest agent: ${error.message}`, error))
      )
    })
    socket.unref()
    this.#buffer = ''
    socket.setEncoding('utf8')
    socket.on('data', chunk => this.#receive(String(chunk)))
    this.#socket = socket
    // one that was dropped may end when its successor is there
    const lost = () => {
      if (this.#socket === socket) this.close()
    }
    socket.on('error', lost)
    socket.on('close', lost)
    return socket
  }

  /** The next reply, or that to a synchronisation; the limit is for all that comes before it, too. */
  #next(what: string, timeoutMs: number | null, syncId?: number): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      const timer =
        timeoutMs === null
          ? undefined
          : setTimeout(() => {
              this.#drop(
                fail(
                  'VIR_ERR_AGENT_UNRESPONSIVE',
                  `Guest agent not available for now: no reply to '${what}' within ${timeoutMs} ms`
                )
              )
            }, timeoutMs)
      const settle = () => {
        clearTimeout(timer)
        this.#waiting = undefined
      }
      this.#waiting = {
        syncId,
        resolve(message) {
          settle()
          resolve(message)
        },
        reject(error) {
          settle()
          reject(error)
        }
      }
    })
  }

  #receive(chunk: string): void {
    const [first = '', ...more] = chunk.split('\n')
    const lines = [this.#buffer + first, ...more]
    this.#buffer = lines.pop()!
    for (const line of lines) this.#line(line)
    if (this.#buffer.length > MAX_REPLY_BYTES)
      this.#drop(fail('VIR_ERR_INTERNAL_ERROR', `guest agent reply exceeds ${MAX_REPLY_BYTES} bytes`))
  }

  #line(line: string): void {
    const waiting = this.#waiting
    if (!waiting) return
    const { syncId } = waiting
    try {
      // a synchronisation is answered behind a byte that is no text; what comes before that is of no exchange of ours
      const message = parseJson(syncId === undefined ? line : line.slice(line.lastIndexOf('\ufffd') + 1))
      if (typeof message !== 'object' || message === null) return
      const reply = message as Record<string, unknown>
      if (syncId === undefined || reply.return === syncId) waiting.resolve(reply)
    } catch {
      // Rubbish before the sync mark is what the sync is for.
    }
  }

  #drop(reason: Error): void {
    const socket = this.#socket
    this.#socket = undefined
    socket?.destroy()
    this.#waiting?.reject(reason)
  }
}
