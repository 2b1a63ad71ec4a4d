// What a shim's API sockets are served by until somebody asks for more than its report. An aggregator polls every shim for
// as long as it lives; with this a shim that is only polled never loads its HTTP server.
import type { Socket } from 'node:net'
import type { QemuDomain } from '../drivers/qemu/domain.ts'
import { formatAnswer, pathOfRequest } from './raw-http.ts'
import { report } from './report.ts'
import type { Service } from './sockets.ts'

/** Longest wait a report request may ask for, in seconds. */
export const REPORT_WAIT_MAX_S = 300
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

/** One client, as long as it asks for nothing but the report. */
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
    const url = pathOfRequest(bytes)
    const { pathname, searchParams } = new URL(url ?? '/', 'http://shim')
    if (this.#waiting) this.#socket.destroy()
    else if (pathname === '/v1/report') void this.#answer(searchParams)
    else {
      this.#socket.off('data', this.#onData)
      this.#socket.off('close', this.#onClose)
      this.#socket.pause()
      this.#handOver(bytes)
    }
  }

  async #answer(query: URLSearchParams): Promise<void> {
    const since = Number(query.get('since') ?? -1)
    const waitS = Math.min(Number(query.get('wait') ?? 0), REPORT_WAIT_MAX_S)
    this.#waiting = new AbortController()
    const changed = await this.#domain.waitForChange(since, waitS * 1000, this.#waiting.signal)
    this.#waiting = undefined
    if (this.#socket.destroyed) return
    this.#socket.write(formatAnswer(changed ? JSON.stringify(report(this.#domain)) : undefined))
    if (this.#closing) this.#socket.end()
  }
}
