// Finds shims by their sockets and calls their API.
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { basename, dirname, join, resolve } from 'node:path'
import { formatJson, parseJson } from '../conf/json.ts'
import type { ApiName, ArgsOf, RetOf } from '../drivers/qemu/index.ts'
import type { Allocation } from '../state/allocation.ts'
import type { Namespaces } from '../state/claim.ts'
import { guestsDirectory, userDirectories } from '../state/root.ts'
import { ApiError, ClientError } from './failure.ts'

/** A call is given up after this long without an answer. */
const CALL_TIMEOUT_MS = 600_000

/** A guest as `GET /v1/guests` reports it, as far as the client needs it. */
export interface Report {
  name: string
  uuid: string
  /** -1 when not running */
  id: number
  /** virDomainState */
  state: number
  reason: number
  persistent: boolean
  autostart: boolean
  managedSave: boolean
  snapshots: boolean
  checkpoints: boolean
  versions: { virshim?: string; qemu?: string; node?: string }
  /** paths by kind, as its shim sees them */
  sockets: { api?: string }
  namespaces?: Namespaces
  /** its holdings of the host */
  allocations: Allocation[]
  /** ms since the epoch; there while the guest's shim does not answer the aggregator */
  unreachableSince?: number
}

/** An event by libvirt's id. */
export interface StreamedEvent {
  event: string
  data: Record<string, unknown>
}

/** Arguments of an API's call behind its name: none where every one may be left out. */
export type Args<N extends ApiName> = object extends ArgsOf<N> ? [args?: ArgsOf<N>] : [args: ArgsOf<N>]

/** An API socket: of a shim, which has one guest, or of the aggregator, which has all. */
export class Connection {
  readonly socket: string
  /** before the name of each API */
  protected readonly prefix: string

  constructor(socket: string, prefix = '/v1') {
    this.socket = socket
    this.prefix = prefix
  }

  /** The path of an API as `call` takes it. */
  pathOf(api: string): string {
    return `${this.prefix}/${api}`
  }

  /** Calls an API by its libvirt name; gives its JSON answer. @throws ApiError as the shim answers */
  async call<N extends ApiName>(api: N, ...args: Args<N>): Promise<RetOf<N>> {
    const { text } = await this.send('POST', this.pathOf(api), args[0] ?? {})
    return jsonOf(text) as RetOf<N>
  }

  /** As `call`, for a job: it takes as long as it takes. */
  async callJob<N extends ApiName>(api: N, ...args: Args<N>): Promise<RetOf<N>> {
    const { text } = await this.send('POST', this.pathOf(api), args[0] ?? {}, 0)
    return jsonOf(text) as RetOf<N>
  }

  /** As `call`, for what ends with its caller's connection: that stays open as long as this process runs. */
  async callTied<N extends ApiName>(api: N, ...args: Args<N>): Promise<RetOf<N>> {
    const { askTied } = await import('../server/tied-call.ts')
    const call = { method: 'POST', path: this.pathOf(api), body: formatJson(args[0] ?? {}) } as const
    const { status, body } = await askTied(connect(this.socket), { ...call, timeoutMs: CALL_TIMEOUT_MS }).catch(
      error => {
        throw this.unreachable(error)
      }
    )
    if (status >= 400) throw refusalOf(status, body)
    return jsonOf(body) as RetOf<N>
  }

  /** Calls an API that answers with bytes. */
  async body<N extends ApiName>(api: N, ...args: Args<N>): Promise<{ mime: string; body: Buffer }> {
    const { reply, bytes } = await this.send('POST', this.pathOf(api), args[0] ?? {})
    return { mime: String(reply.headers['content-type']), body: bytes }
  }

  /** Every guest there, or those one word may mean. */
  async guests(wanted?: string): Promise<Report[]> {
    const query = wanted === undefined ? '' : `?guest=${encodeURIComponent(wanted)}`
    const { text } = await this.send('GET', `/v1/guests${query}`)
    const { guests } = Object(jsonOf(text)) as { guests?: Report[] }
    if (!Array.isArray(guests)) throw new ClientError(`what answers at '${this.socket}' knows of no guests`)
    return guests
  }

  /** Asks for something that is no API of libvirt's; gives its JSON answer. @throws ApiError as the shim answers */
  async post(path: string, args: object = {}): Promise<unknown> {
    return jsonOf((await this.send('POST', path, args)).text)
  }

  /** The answer at a path that is no API's. @throws ApiError where there is no such path */
  async get(path: string): Promise<unknown> {
    return jsonOf((await this.send('GET', path)).text)
  }

  /** True if somebody accepts connections there. */
  answers(): Promise<boolean> {
    return new Promise(done => {
      const socket = connect(this.socket)
      const finish = (result: boolean) => {
        socket.destroy()
        done(result)
      }
      socket.once('connect', () => finish(true))
      socket.once('error', () => finish(false))
    })
  }

  /** One of its guests. */
  guest(uuid: string): Connection {
    return new Connection(this.socket, `/v1/domains/${uuid}`)
  }

  /** The event stream of all its guests, open when this returns; events come in until it is aborted or the other side ends. */
  async events(signal: AbortSignal): Promise<AsyncGenerator<StreamedEvent>> {
    const reply = await new Promise<IncomingMessage>((done, failed) => {
      const sent = request({ socketPath: this.socket, path: '/v1/events', agent: false, signal }, done)
      sent.on('error', error => failed(this.unreachable(error)))
      sent.end()
    })
    reply.setEncoding('utf8')
    if (reply.statusCode !== 200) {
      reply.destroy()
      throw new ClientError(`no events: ${statusText(reply.statusCode)}`)
    }
    return eventsIn(reply, signal)
  }

  private async send(
    method: string,
    path: string,
    args?: object,
    timeout = CALL_TIMEOUT_MS
  ): Promise<{ reply: IncomingMessage; bytes: Buffer; text: string }> {
    const reply = await new Promise<IncomingMessage>((done, failed) => {
      const sent = request({ socketPath: this.socket, path, method, timeout }, done)
      sent.on('timeout', () => sent.destroy(new Error('no answer in time')))
      sent.on('error', error => failed(this.unreachable(error)))
      sent.end(args && formatJson(args))
    })
    const chunks: Buffer[] = []
    try {
      for await (const chunk of reply) chunks.push(chunk)
    } catch {
      throw new ClientError('the answer broke off')
    }
    const bytes = Buffer.concat(chunks)
    const text = bytes.toString()
    if ((reply.statusCode ?? 500) >= 400) throw refusalOf(reply.statusCode, text)
    return { reply, bytes, text }
  }

  private unreachable(error: NodeJS.ErrnoException): ClientError {
    const why = { ENOENT: 'No such file or directory', ECONNREFUSED: 'Connection refused', EACCES: 'Permission denied' }
    return new ClientError(
      `Failed to connect socket to '${this.socket}': ${why[error.code as keyof typeof why] ?? error.message}`
    )
  }
}

async function* eventsIn(reply: IncomingMessage, signal: AbortSignal): AsyncGenerator<StreamedEvent> {
  let rest = ''
  try {
    for await (const chunk of reply) {
      rest += chunk
      const blocks = rest.split('\n\n')
      rest = blocks.pop()!
      for (const block of blocks) {
        const event = /^event: (.*)$/m.exec(block)?.[1]
        const data = /^data: (.*)$/m.exec(block)?.[1]
        if (event && data) yield { event, data: jsonOf(data) as Record<string, unknown> }
      }
    }
  } catch (error) {
    if (!signal.aborted && (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error
  }
}

const statusText = (status: number | undefined) => `HTTP status ${status}`

/** The JSON of an answer. @throws ClientError where it is none */
function jsonOf(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    throw new ClientError('the answer is not JSON')
  }
}

/** The error a daemon has answered with; its status, where the answer is none of ours. */
export function refusalOf(status: number | undefined, text: string): ClientError {
  try {
    const { message, code, domain } = parseJson(text) as { message?: unknown; code?: unknown; domain?: unknown }
    if (typeof message === 'string' && typeof code === 'number') {
      return new ApiError(message, code, typeof domain === 'number' ? domain : undefined)
    }
  } catch {
    // not even JSON
  }
  return new ClientError(statusText(status))
}

/** This user's aggregator, if its socket is there. */
export function aggregatorSocket(): string | undefined {
  const socket = join(userDirectories().run, 'api.sock')
  return existsSync(socket) ? socket : undefined
}

/**
 * The API sockets a connection means: a socket or root directory of a shim or the aggregator, a directory of guests, a URI with a
 * socket parameter, or without any of these every guest of this user.
 */
export function socketsOf(where: string | undefined): string[] {
  if (where === undefined) return guestSockets(guestsDirectory())
  const path = /:\/\//.test(where) ? pathOfUri(where) : resolve(where)
  if (path === undefined) return guestSockets(guestsDirectory())
  if (!existsSync(path)) return [path]
  if (!statSync(path).isDirectory()) return [apiSocket(path)]
  const own = join(path, 'api.sock')
  if (existsSync(own)) return [own]
  return guestSockets(existsSync(join(path, 'guests')) ? join(path, 'guests') : path)
}

/** The socket itself. @throws ClientError for one of another protocol, beside which the API's is */
function apiSocket(path: string): string {
  const [dir, name] = [dirname(realpathSync(path)), basename(realpathSync(path))]
  const beside = join(dir, name.endsWith('-ro') ? 'api-ro.sock' : 'api.sock')
  const hasApi = existsSync(beside)
  if (/^api(-ro)?\.sock$/.test(name) || (!hasApi && !/^libvirt-sock(-ro)?$/.test(name))) return path
  const what = `'${path}' does not speak HTTP; virshim takes an api.sock`
  throw new ClientError('failed to connect to the hypervisor', hasApi ? `${what}: '${beside}' beside it` : what)
}

function guestSockets(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory)
    .map(name => join(directory, name, 'api.sock'))
    .filter(socket => existsSync(socket))
}

/** True for no socket of its own: everything of this user. */
export const meansAll = (where: string | undefined): boolean =>
  where === undefined || (/:\/\//.test(where) && pathOfUri(where) === undefined)

/** `qemu+unix:///system?socket=DIR/libvirt-sock` means the API socket beside it, `qemu:///system` this user's guests. */
function pathOfUri(uri: string): string | undefined {
  let url: URL
  try {
    url = new URL(uri)
  } catch {
    throw new ClientError('failed to connect to the hypervisor', `invalid connection URI '${uri}'`)
  }
  if (url.protocol === 'unix:') return url.pathname
  if (!/^qemu(\+unix)?:$/.test(url.protocol) || url.host !== '') {
    throw new ClientError(
      'failed to connect to the hypervisor',
      `no connection driver available for ${uri}: virshim reaches guests of this host by their sockets`
    )
  }
  const socket = url.searchParams.get('socket')
  if (socket === null) return undefined
  return socket.endsWith('/api.sock') ? socket : join(dirname(socket), 'api.sock')
}
