// Follows one shim's report over a kept connection: a request that is answered when something changes (long poll).
//
//   connect ── GET /v1/report ──► report ── GET ?since=G&wait=W ──► report or 304 ── …
//      ▲                                          │ nothing within W and some seconds: silent, but we go on waiting
//      └── back-off ◄── lost ◄── closed, refused ─┘
//
// It is asked no more than 20 times a second, however fast it answers or closes its connections.
import { connect, type Socket } from 'node:net'
import { AnswerReader, formatRequest } from '../raw-http.ts'
import type { Report } from '../report.ts'
import { Pace } from './pace.ts'
import { NotBelieved, readReport } from './read-report.ts'

/** A shim has this long to answer what it need not wait for; its first request makes it load its HTTP server. */
const ANSWER_LIMIT_MS = 5000
/** A silent shim's connection is given up after this long; until then it may answer on it. */
const SILENT_LIMIT_MS = 60_000
const RETRY_FIRST_MS = 50
const RETRY_MAX_MS = 5000

/** Listener for the life of a shim. */
export interface PollListener {
  report(report: Report): void
  /** it answered that nothing is new */
  same(): void
  /** it does not answer, but holds the connection */
  silent(): void
  /** there is no connection; another is tried until close() */
  lost(error: Error): void
}

export class ReportPoll {
  readonly path: string
  readonly #listener: PollListener
  readonly #waitS: () => number
  #socket: Socket | undefined
  #reader = new AnswerReader()
  #timer: NodeJS.Timeout | undefined
  #generation: number | undefined
  #retryMs = RETRY_FIRST_MS
  /** this connection has brought an answer */
  #answered = false
  #closed = false
  readonly #pace = new Pace()
  /** it is to be asked or connected to when its time comes */
  #isPaced = false
  /** an answer is due */
  #isAsked = false

  /** @param waitS seconds a shim may hold the next answer back */
  constructor(path: string, listener: PollListener, waitS: () => number) {
    this.path = path
    this.#listener = listener
    this.#waitS = waitS
    this.#soon(() => this.#connect())
  }

  /** Tries at once to connect, if there is no connection. */
  kick(): void {
    if (this.#socket || this.#closed || this.#isPaced) return
    this.#retryMs = RETRY_FIRST_MS
    this.#soon(() => this.#connect())
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#socket?.destroy()
    this.#socket = undefined
  }

  /** Asks or connects once more, when it is time. */
  #soon(ask: () => void): void {
    clearTimeout(this.#timer)
    const waitMs = this.#pace.next()
    this.#isPaced = waitMs > 0
    const now = () => {
      this.#isPaced = false
      ask()
    }
    if (waitMs === 0) now()
    else this.#timer = setTimeout(now, waitMs)
  }

  #connect(): void {
    clearTimeout(this.#timer)
    const socket = connect(this.path)
    this.#socket = socket
    this.#reader = new AnswerReader()
    this.#generation = undefined
    this.#answered = false
    socket.on('error', error => this.#lost(socket, error))
    socket.on('close', () => this.#lost(socket, new Error('the shim closed the connection')))
    socket.on('data', chunk => this.#take(socket, chunk))
    this.#ask()
  }

  #ask(): void {
    const since = this.#generation
    const waitS = since === undefined ? 0 : this.#waitS()
    const socket = this.#socket!
    this.#isAsked = true
    socket.write(formatRequest('GET', since === undefined ? '/v1/report' : `/v1/report?since=${since}&wait=${waitS}`))
    const timer = setTimeout(() => this.#timeUp(socket, timer), waitS * 1000 + ANSWER_LIMIT_MS)
    this.#timer = timer
  }

  #take(socket: Socket, chunk: Buffer): void {
    if (socket !== this.#socket) return
    try {
      if (!this.#isAsked) throw new Error('the shim answers what it was not asked')
      const answer = this.#reader.push(chunk)
      if (!answer) return
      this.#isAsked = false
      clearTimeout(this.#timer)
      if (answer.status === 200) {
        const report = readReport(answer.body)
        this.#generation = report.generation
        this.#listener.report(report)
      } else if (answer.status === 304 && this.#generation !== undefined) this.#listener.same()
      else throw new Error(`the shim answers its report with status ${answer.status}`)
      this.#retryMs = RETRY_FIRST_MS
      this.#answered = true
      // the listener may have closed us
      if (socket === this.#socket) this.#soon(() => this.#ask())
    } catch (error) {
      this.#lost(socket, error as Error)
    }
  }

  /** If it was us who had no time, the answer lies there and is read before this is judged. */
  #timeUp(socket: Socket, timer: NodeJS.Timeout): void {
    setImmediate(() => {
      // the next question has a timer of its own
      if (socket !== this.#socket || timer !== this.#timer) return
      this.#listener.silent()
      if (socket !== this.#socket) return
      this.#timer = setTimeout(() => this.#lost(socket, new Error('the shim does not answer')), SILENT_LIMIT_MS)
    })
  }

  #lost(socket: Socket, error: Error): void {
    socket.destroy()
    if (socket !== this.#socket) return
    this.#socket = undefined
    clearTimeout(this.#timer)
    // it may only have become tired of this connection
    if (this.#answered && !(error instanceof NotBelieved)) {
      this.#soon(() => this.#connect())
      return
    }
    this.#timer = setTimeout(() => this.#soon(() => this.#connect()), this.#retryMs)
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS)
    this.#listener.lost(error)
  }
}
