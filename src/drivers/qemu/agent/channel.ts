// The guest agent's channel. The guest is untrusted: replies are bounded, matched by sync id, and awaited no longer than the
// guest's response timeout says; a synchronisation always has a limit.
import { connect, type Socket } from 'node:net'
import { virDomainAgentResponseTimeoutValues } from '../../../conf/enums.ts'
import { errorsFrom, type VirError } from '../../../conf/error.ts'
import { formatJson, parseJson } from '../../../conf/json.ts'
import { malformed } from './answer.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT } =
  virDomainAgentResponseTimeoutValues
/** QEMU_AGENT_WAIT_TIME, seconds. */
const WAIT_TIME = 5
/** QEMU_AGENT_MAX_RESPONSE. */
const MAX_REPLY_BYTES = 10 * 1024 * 1024
/** Lines that are passed over in search of an answer: each has to be read as JSON. */
const MAX_LINES = 10_000
/** As much of what the guest said as an error shows. */
const SHOWN_CHARS = 200
/** The longest that a timer runs, about 25 days. */
const MAX_TIMER_MS = 2 ** 31 - 1
const UNKNOWN_COMMAND = ['CommandNotFound', 'CommandDisabled']

/** Words for classes of errors that come without a description (qemuAgentStringifyErrorClass). */
const CLASS_WORDS = new Map([
  ['BufferOverrun', 'Buffer overrun'],
  ['CommandDisabled', 'The command has been disabled for this instance'],
  ['CommandNotFound', 'The command has not been found'],
  ['FdNotFound', 'File descriptor not found'],
  ['InvalidParameter', 'Invalid parameter'],
  ['InvalidParameterType', 'Invalid parameter type'],
  ['InvalidParameterValue', 'Invalid parameter value'],
  ['OpenFileFailed', 'Cannot open file'],
  ['QgaCommandFailed', 'Guest agent command failed'],
  ['QMPBadInputObjectMember', 'Bad QMP input object member'],
  ['QMPExtraInputObjectMember', 'Unexpected extra object member'],
  ['UndefinedError', 'An undefined error has occurred'],
  ['Unsupported', 'this feature or command is not currently supported']
])

const notConnected = () => fail('VIR_ERR_AGENT_UNRESPONSIVE', 'QEMU guest agent is not connected')

/** An agent's answer: of any shape. */
type Reply = Readonly<Record<string, unknown>>

/** QEMU's event that says as much as an answer: an agent that has put its guest out of action may give none. */
type ActedOn = 'RESET' | 'SHUTDOWN' | 'SUSPEND'

export interface AgentCall {
  /** limit for the answer, one of virDomainAgentResponseTimeoutValues or above; absent: the guest's own */
  seconds?: number
  /** also over with this event, or when the agent is gone */
  until?: ActedOn
}

interface Waiting {
  /** a synchronisation is to be answered; anything else is let pass */
  isSync?: boolean
  until?: ActedOn
  /** undefined: there will be no answer, and none is needed */
  resolve(reply: Reply | undefined): void
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
  if (!agent.connected) throw notConnected()
  return agent
}

/**
 * One agent channel; a single command is under way at a time, others queue. Each is synchronised first, so that a late
 * answer is never taken for that to a later command; who is late is left, and connected to anew (qemu_agent.c).
 */
export class Agent {
  readonly #path: string
  readonly #responseTimeout: () => number
  #socket: Socket | undefined
  #buffer = ''
  /** characters and lines that came since somebody waits */
  #received = 0
  #lines = 0
  #waiting: Waiting | undefined
  #queue: Promise<unknown> = Promise.resolve()
  #syncId = Math.floor(Math.random() * 2 ** 31)
  /** synchronisations since the last command; that was answered, or never will be, by an agent that answers any of them */
  readonly #syncs = new Set<number>()
  /** those of them whose answers are still to come, before that to the command */
  #owed: readonly number[] = []
  /** the guest's end is open (VSERPORT_CHANGE) */
  connected = false

  /** @param responseTimeout the limit of a command without one of its own, as virDomainAgentSetResponseTimeout takes it */
  constructor(path: string, responseTimeout: () => number = () => VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK) {
    this.#path = path
    this.#responseTimeout = responseTimeout
  }

  /**
   * Runs one agent command; gives what it returns, undefined if the guest acted instead of answering.
   * @throws VIR_ERR_AGENT_UNRESPONSIVE when the agent does not synchronise, VIR_ERR_AGENT_COMMAND_TIMEOUT when it does not
   *   answer, VIR_ERR_AGENT_COMMAND_FAILED with its own words, VIR_ERR_INTERNAL_ERROR for what is no answer
   */
  execute(command: string, args?: object, call?: AgentCall): Promise<unknown> {
    return this.raw({ execute: command, arguments: args }, call)
  }

  /** As execute, undefined also for a command that the agent does not have or is not to carry out. */
  async executeIfKnown(command: string): Promise<unknown> {
    const reply = await this.#ask({ execute: command })
    return UNKNOWN_COMMAND.includes(errorIn(reply)?.class as string) ? undefined : returned(command, reply)
  }

  /** As execute, with the whole command object. */
  async raw(command: object, call?: AgentCall): Promise<unknown> {
    const name = (command as { execute?: unknown }).execute
    return returned(typeof name === 'string' ? name : '<unknown>', await this.#ask(command, call))
  }

  /** QEMU tells that the guest has acted: who waits for that is done (qemuAgentNotifyEvent). */
  acted(event: ActedOn): void {
    if (this.#waiting?.until === event) this.#waiting.resolve(undefined)
  }

  close(): void {
    this.#drop()
  }

  #ask(command: object, call: AgentCall = {}): Promise<Reply | undefined> {
    const run = this.#queue.then(() => this.#exchange(command, call))
    this.#queue = run.catch(() => undefined)
    return run
  }

  async #exchange(
    command: object,
    { seconds = this.#responseTimeout(), until }: AgentCall
  ): Promise<Reply | undefined> {
    if (!this.connected) throw notConnected()
    const socket = await this.#open()
    const id = this.#syncId++
    this.#syncs.add(id)
    const limits = [seconds, this.#responseTimeout()].filter(limit => limit > 0)
    const synchronised = this.#next(Math.min(WAIT_TIME, ...limits), { isSync: true })
    socket.write(`\xff${formatJson({ execute: 'guest-sync-delimited', arguments: { id } })}\n`, 'latin1')
    const answered = await synchronised
    if (this.#socket !== socket) throw disappeared({ isSync: true })
    this.#owed = [...this.#syncs].filter(one => one > Number(answered?.return))
    this.#syncs.clear()
    const answer = this.#next(seconds === VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT ? WAIT_TIME : seconds, { until })
    socket.write(`${formatJson(command)}\n`)
    return answer
  }

  async #open(): Promise<Socket> {
    if (this.#socket && !this.#socket.destroyed) return this.#socket
    const socket = connect(this.#path)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', error =>
        reject(fail('VIR_ERR_AGENT_UNRESPONSIVE', 'QEMU guest agent is not available due to an error', error))
      )
    })
    socket.unref()
    this.#buffer = ''
    socket.setEncoding('utf8')
    socket.on('data', chunk => this.#receive(String(chunk)))
    this.#socket = socket
    // one that was dropped may end when its successor is there
    const lost = () => {
      if (this.#socket === socket) this.#drop()
    }
    socket.on('error', lost)
    socket.on('close', lost)
    return socket
  }

  /** The next answer, or that to a synchronisation; the limit is for all that comes before it, too. */
  #next(seconds: number, what: Pick<Waiting, 'isSync' | 'until'>): Promise<Reply | undefined> {
    return new Promise((resolve, reject) => {
      const late = () =>
        this.#drop(
          what.isSync
            ? fail(
                'VIR_ERR_AGENT_UNRESPONSIVE',
                `guest agent didn't respond to synchronization within '${seconds}' seconds`
              )
            : fail('VIR_ERR_AGENT_COMMAND_TIMEOUT', `guest agent didn't respond to command within '${seconds}' seconds`)
        )
      const timer = seconds < 0 ? undefined : setTimeout(late, Math.min(seconds * 1000, MAX_TIMER_MS))
      const settle = () => {
        clearTimeout(timer)
        this.#waiting = undefined
        // what a guest says unasked waits in its own memory
        this.#socket?.pause()
      }
      this.#waiting = {
        ...what,
        resolve(reply) {
          settle()
          resolve(reply)
        },
        reject(error) {
          settle()
          reject(error)
        }
      }
      this.#received = 0
      this.#lines = 0
      this.#socket?.resume()
    })
  }

  #receive(chunk: string): void {
    this.#received += chunk.length
    const [first = '', ...more] = chunk.split('\n')
    const lines = [this.#buffer + first, ...more]
    this.#buffer = lines.pop()!
    for (const line of lines) this.#line(line)
    if (this.#received <= MAX_REPLY_BYTES) return
    const why = `No complete agent response found in ${MAX_REPLY_BYTES} bytes: Numerical result out of range`
    this.#drop(fail('VIR_ERR_SYSTEM_ERROR', why))
  }

  #line(line: string): void {
    const waiting = this.#waiting
    if (!waiting) return
    if (++this.#lines > MAX_LINES) {
      this.#drop(malformed(`No agent response found in ${MAX_LINES} lines`))
      return
    }
    const { isSync } = waiting
    let said: unknown
    try {
      // a synchronisation is answered behind a byte that is no text; what comes before that is of no exchange of ours
      said = parseJson(isSync ? line.slice(line.lastIndexOf('\ufffd') + 1) : line)
    } catch {
      // Rubbish before the sync mark is what the sync is for.
      return
    }
    const isObject = typeof said === 'object' && said !== null && !Array.isArray(said)
    const reply = (isObject ? said : {}) as Reply
    if (isSync) {
      if (this.#syncs.has(reply.return as number)) waiting.resolve(reply)
    } else if (this.#isOwed(reply)) return
    else if (!isObject) waiting.reject(malformed(`Parsed JSON reply '${shown(line)}' isn't an object`))
    else if ('error' in reply || 'return' in reply) waiting.resolve(reply)
    else if (!('event' in reply || 'QMP' in reply)) {
      waiting.reject(malformed(`Unknown JSON reply '${shown(line)}'`))
    }
  }

  /** True for an answer to a synchronisation that was late, and for the complaint about its first byte. */
  #isOwed(reply: Reply): boolean {
    if (this.#owed.length === 0) return false
    return this.#owed.includes(reply.return as number) || /^JSON parse error/.test(String(errorIn(reply)?.desc))
  }

  /** Leaves the connection. @param reason absent: the agent has left it */
  #drop(reason?: VirError): void {
    const socket = this.#socket
    this.#socket = undefined
    socket?.destroy()
    const waiting = this.#waiting
    if (reason) waiting?.reject(reason)
    else if (waiting?.until) waiting.resolve(undefined)
    else waiting?.reject(disappeared(waiting))
  }
}

const shown = (line: string) => line.slice(0, SHOWN_CHARS)

const disappeared = ({ isSync }: Pick<Waiting, 'isSync'>) =>
  fail(
    isSync ? 'VIR_ERR_AGENT_UNRESPONSIVE' : 'VIR_ERR_AGENT_COMMAND_TIMEOUT',
    'Guest agent disappeared while executing command'
  )

/** The error an answer is, in whatever form it came. */
function errorIn(reply: Reply | undefined): Reply | undefined {
  return reply && 'error' in reply ? (Object(reply.error) as Reply) : undefined
}

/** What a command has returned. @throws VIR_ERR_AGENT_COMMAND_FAILED (qemuAgentCheckError) */
function returned(command: string, reply: Reply | undefined): unknown {
  const error = errorIn(reply)
  if (!error) return reply?.return
  const { desc, class: kind } = error
  const known = typeof kind === 'string' ? (CLASS_WORDS.get(kind) ?? kind) : 'unknown QEMU command error'
  const words = typeof desc === 'string' ? desc : known
  throw fail('VIR_ERR_AGENT_COMMAND_FAILED', `unable to execute QEMU agent command '${command}': ${words}`)
}
