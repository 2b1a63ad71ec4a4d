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
    for (;;) {
      const reply = await this.#next('guest-sync', timeoutMs === null ? AGENT_TIMEOUT_MS : Math.max(timeoutMs, 1000))
      if (reply.return === id) break
    }
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
    socket.on('error', () => this.close())
    socket.on('close', () => this.close())
    this.#socket = socket
    return socket
  }

  #next(what: string, timeoutMs: number | null): Promise<Record<string, unknown>> {
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
    this.#buffer += chunk
    if (this.#buffer.length > MAX_REPLY_BYTES) {
      this.#drop(fail('VIR_ERR_INTERNAL_ERROR', `guest agent reply exceeds ${MAX_REPLY_BYTES} bytes`))
      return
    }
    for (let end = this.#buffer.indexOf('\n'); end >= 0; end = this.#buffer.indexOf('\n')) {
      const line = this.#buffer.slice(0, end).replace(/[^{]*\ufffd/g, '')
      this.#buffer = this.#buffer.slice(end + 1)
      try {
        const message = parseJson(line)
        if (typeof message === 'object' && message !== null) this.#waiting?.resolve(message as Record<string, unknown>)
      } catch {
        // Rubbish before the sync mark is what the sync is for.
      }
    }
  }

  #drop(reason: Error): void {
    const socket = this.#socket
    this.#socket = undefined
    socket?.destroy()
    this.#waiting?.reject(reason)
  }
}
