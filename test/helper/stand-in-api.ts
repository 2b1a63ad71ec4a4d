// An HTTP API on a Unix socket that answers what a test says, and commands of the client run against it in this process.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { readArguments } from '../../src/client/arguments.ts'
import { findCommand } from '../../src/client/commands/index.ts'
import { ClientError } from '../../src/client/failure.ts'
import { type GlobalOptions, Session } from '../../src/client/session.ts'
import { formatJson, parseJson } from '../../src/conf/json.ts'

/** An error as a daemon answers it. */
export class Refused {
  readonly message: string
  readonly code: number
  readonly domain: number | undefined

  constructor(message: string, code = 1, domain?: number) {
    this.message = message
    this.code = code
    this.domain = domain
  }
}

/** Bytes with their type, as a screenshot is answered. */
export class Body {
  readonly mime: string
  readonly bytes: Buffer

  constructor(mime: string, bytes: Buffer) {
    this.mime = mime
    this.bytes = bytes
  }
}

type Arguments = Record<string, unknown>
/** Answers by the last segment of the path: a value, or what makes it of the arguments. */
export type Answers = Record<string, unknown | ((args: Arguments) => unknown)>

export class StandInApi {
  readonly socket: string
  /** calls in order: `virDomainReset {}`; what only looks guests up is left out */
  asked: string[] = []
  answers: Answers = {}
  /** takes a request in place of the answers: for what no daemon should do */
  instead: ((request: IncomingMessage, reply: ServerResponse) => void) | undefined
  #server: Server | undefined

  constructor(socket: string) {
    this.socket = socket
  }

  async listen(): Promise<void> {
    const server = createServer((request, reply) => void this.#answer(request, reply))
    this.#server = server
    await new Promise<void>(done => server.listen(this.socket, done))
  }

  /** Hands requests for another protocol over. */
  onUpgrade(take: (request: IncomingMessage, socket: Socket, head: Buffer) => void): void {
    this.#server?.on('upgrade', (request, socket, head) => take(request, socket as Socket, head))
  }

  close(): void {
    this.#server?.closeAllConnections()
    this.#server?.close()
  }

  async #answer(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    if (this.instead) return this.instead(request, reply)
    let text = ''
    for await (const chunk of request) text += chunk
    const { pathname, search } = new URL(request.url ?? '/', 'http://x')
    const api = pathname.split('/').at(-1)!
    if (api !== 'guests') this.asked.push(request.method === 'GET' ? `GET ${pathname}${search}` : `${api} ${text}`)
    const known = Object.hasOwn(this.answers, api) ? this.answers[api] : new Refused(`unknown API '${api}'`, 39)
    const answer = typeof known === 'function' ? await known(text === '' ? {} : (parseJson(text) as Arguments)) : known
    if (answer instanceof Body) reply.writeHead(200, { 'content-type': answer.mime }).end(answer.bytes)
    else {
      reply.writeHead(answer instanceof Refused ? 400 : 200, { 'content-type': 'application/json' })
      reply.end(formatJson(answer instanceof Refused ? { ...answer } : answer))
    }
  }
}

class RecordedSession extends Session {
  out = ''

  override showProgress(text: string): void {
    this.out += `${text}\n`
  }

  override print(text: string): void {
    this.out += text
  }
}

export interface Said {
  out: string
  /** undefined: it did not fail */
  errors?: string[]
}

/** Runs one command of the client; what it prints, and the lines of the error it ends with. */
export async function runCommand(words: string[], options: Partial<GlobalOptions>): Promise<Said> {
  const session = new RecordedSession({ connect: undefined, quiet: false, readOnly: false, ...options })
  const [name = '', ...rest] = words
  try {
    const { options: known, run } = findCommand(name)!
    await run(session, readArguments(name, known, rest))
    return { out: session.out }
  } catch (error) {
    if (!(error instanceof ClientError)) throw error
    return { out: session.out, errors: error.lines }
  }
}
