// Service of a shim's API sockets until somebody asks for more than an aggregator does. One polls every shim for
// as long as it lives; with this a shim that is only polled never loads its HTTP server.
import type { Socket } from 'node:net'
import { formatJson } from '../conf/json.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import { POLLED } from './polled.ts'
import { queryOf } from './query.ts'
import { formatAnswer, pathOfRequest } from './raw-http.ts'
import type { Service } from './sockets.ts'

/** A client has this long to begin to ask. */
const FIRST_BYTE_LIMIT_MS = 10_000

/** @param load what serves every other request, and from then on the connection it came on */
export function createReportService(domain: QemuDomain, load: () => Promise<Service>): Service {
  const connections = new Set<ReportConnection>()
  let full: Promise<Service> | undefined
  const handOver = (socket: Socket, bytes: Buffer) => {
    full ??= load()
    full.then(
      service => {
        service.accept(socket)
        socket.unshift(bytes)
        socket.resume()
      },
      error => {
        domain.log.error({ err: error }, 'what serves the API cannot be loaded')
        socket.destroy()
      }
    )
  }
  return {
    accept(socket) {
      const connection = new ReportConnection(domain, socket, bytes => {
        connections.delete(connection)
        handOver(socket, bytes)
      })
      connections.add(connection)
      socket.once('close', () => connections.delete(connection))
    },
    async close() {
      for (const connection of connections) connection.close()
      await (await full?.catch(() => undefined))?.close()
    }
  }
}

/** One client, as long as it asks for nothing else. */
class ReportConnection {
  readonly #domain: QemuDomain
  readonly #socket: Socket
  readonly #handOver: (bytes: Buffer) => void
  readonly #limit: NodeJS.Timeout
  /** ends the wait that is under way */
  #waiting: AbortController | undefined
  #closing = false

  constructor(domain: QemuDomain, socket: Socket, handOver: (bytes: Buffer) => void) {
    this.#domain = domain
    this.#socket = socket
    this.#handOver = handOver
    this.#limit = setTimeout(() => socket.destroy(), FIRST_BYTE_LIMIT_MS)
    socket.on('data', this.#onData)
    socket.on('close', this.#onClose)
  }

  /** Answers what is asked, and that is all. */
  close(): void {
    this.#closing = true
    if (this.#waiting) this.#waiting.abort()
    else this.#socket.destroy()
  }

  #onClose = (): void => {
    clearTimeout(this.#limit)
    this.#waiting?.abort()
  }

  #onData = (bytes: Buffer): void => {
    clearTimeout(this.#limit)
    if (this.#waiting) this.#socket.destroy()
    else void this.#answer(bytes)
  }

  async #answer(bytes: Buffer): Promise<void> {
    const { pathname, searchParams } = new URL(pathOfRequest(bytes) ?? '/', 'http://shim')
    const polled = Object.hasOwn(POLLED, pathname) ? POLLED[pathname] : undefined
    if (!polled) return this.#giveUp(bytes)
    this.#waiting = new AbortController()
    try {
      const answer = await polled(this.#domain, queryOf(searchParams), this.#waiting.signal)
      if (this.#socket.destroyed) return
      this.#socket.write(formatAnswer(answer && formatJson(answer)))
      if (this.#closing) this.#socket.end()
    } catch {
      // the HTTP server says what is wrong with it
      this.#giveUp(bytes)
    } finally {
      this.#waiting = undefined
    }
  }

  /** Leaves the connection, and what was asked on it, to the HTTP server. */
  #giveUp(bytes: Buffer): void {
    this.#socket.off('data', this.#onData)
    this.#socket.off('close', this.#onClose)
    this.#socket.pause()
    this.#handOver(bytes)
  }
}
