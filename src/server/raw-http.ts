// HTTP/1.1 as shims and the aggregator speak it with each other: one request at a time on a Unix socket, answers with a
// length. A few KB per connection and nothing to load, where node:http would cost ten times that per guest.
import { connect, type Socket } from 'node:net'

/** No answer is longer: libvirt's longest string, and some JSON around it. */
const ANSWER_MAX = 8 * 1024 * 1024
const HEAD_MAX = 16 * 1024
const HEAD_END = Buffer.from('\r\n\r\n')
const NOTHING = Buffer.alloc(0)

export const EVENT_STREAM = 'text/event-stream'

export interface RawAnswer {
  status: number
  body: string
}

/** The bytes of a request. */
export function formatRequest(method: string, path: string, body?: string): string {
  const length =
    body === undefined ? '' : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
  return `${method} ${path} HTTP/1.1\r\nHost: virshim\r\n${length}\r\n${body ?? ''}`
}

/** The path of a GET request as formatRequest writes it, undefined for every other. */
export function pathOfRequest(bytes: Buffer): string | undefined {
  if (bytes.length > HEAD_MAX) return undefined
  return /^GET (\/\S*) HTTP\/1\.1\r\nHost: virshim\r\n\r\n$/.exec(bytes.toString('latin1'))?.[1]
}

/** The bytes of an answer with that JSON, or without one that nothing has changed. */
export function formatAnswer(json: string | undefined): string {
  if (json === undefined) return 'HTTP/1.1 304 Not Modified\r\n\r\n'
  const head = `Content-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(json)}`
  return `HTTP/1.1 200 OK\r\n${head}\r\n\r\n${json}`
}

/** Puts the answers of one connection together from its bytes. */
export class AnswerReader {
  /** holds the first `#length` bytes that came; grows by doubling, so that each is copied a few times at most */
  #bytes: Buffer = NOTHING
  #length = 0
  /** where the body begins and ends; set when the head is complete */
  #body: { status: number; from: number; to: number } | undefined

  /** Takes bytes; gives the answer once it is whole. @throws Error for what is no such answer */
  push(chunk: Buffer): RawAnswer | undefined {
    this.#append(chunk)
    this.#body ??= readHead(this.#bytes.subarray(0, this.#length))
    const body = this.#body
    if (!body || this.#length < body.to) return undefined
    if (this.#length > body.to) throw new Error('more than one answer to one request')
    const text = this.#bytes.toString('utf8', body.from, body.to)
    this.#bytes = NOTHING
    this.#length = 0
    this.#body = undefined
    return { status: body.status, body: text }
  }

  #append(chunk: Buffer): void {
    const length = this.#length + chunk.length
    if (this.#length === 0) this.#bytes = chunk
    else {
      if (length > this.#bytes.length) {
        const larger = Buffer.allocUnsafe(2 * length)
        this.#bytes.copy(larger, 0, 0, this.#length)
        this.#bytes = larger
      }
      chunk.copy(this.#bytes, this.#length)
    }
    this.#length = length
  }
}

function readHead(bytes: Buffer): { status: number; from: number; to: number } | undefined {
  const end = bytes.indexOf(HEAD_END)
  if (end < 0) {
    if (bytes.length > HEAD_MAX) throw new Error('the head of an answer is too long')
    return undefined
  }
  const head = bytes.toString('latin1', 0, end)
  const status = /^HTTP\/1\.1 ([1-5]\d\d)\b/.exec(head)?.[1]
  if (status === undefined) throw new Error('not an HTTP answer')
  const from = end + HEAD_END.length
  if (status === '304' || status === '204') return { status: Number(status), from, to: from }
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length === undefined || Number(length) > ANSWER_MAX) throw new Error('an answer without a length, or too long')
  return { status: Number(status), from, to: from + Number(length) }
}

export interface RawRequest {
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  body?: string
  /** from the connection's begin to the last byte */
  timeoutMs: number
}

/** One request on a connection of its own. @throws Error when there is no answer, or none in time */
export function ask(socketPath: string, request: RawRequest): Promise<RawAnswer> {
  return askOn(connect(socketPath), request)
}

/** One request on a connection that is made or being made, and is closed after it. @throws as `ask` */
export function askOn(socket: Socket, { method, path, body, timeoutMs }: RawRequest): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const reader = new AnswerReader()
    const finish = (settle: () => void) => {
      clearTimeout(timer)
      socket.destroy()
      settle()
    }
    const failed = (error: Error) => finish(() => reject(error))
    const timer = setTimeout(() => failed(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    socket.on('error', failed)
    socket.on('close', () =>
      failed(Object.assign(new Error('the connection was closed before the answer'), { code: 'ECONNRESET' }))
    )
    socket.on('data', chunk => {
      try {
        const answer = reader.push(chunk)
        if (answer) finish(() => resolve(answer))
      } catch (error) {
        failed(error as Error)
      }
    })
    socket.write(formatRequest(method, path, body))
  })
}
