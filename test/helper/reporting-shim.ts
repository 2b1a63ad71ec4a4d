// A shim that only looks like one: it reports what a test says it holds.
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { dirname } from 'node:path'
import type { Report } from '../../src/server/report.ts'
import type { Allocation } from '../../src/state/allocation.ts'

/** A report socket without a guest behind it. What it holds is what the test says. */
export class ReportingShim {
  readonly name: string
  readonly uuid: string
  readonly socket: string
  #generation = 1
  #allocations: readonly Allocation[] = []
  #claims: readonly string[] = []
  #server: Server | undefined
  #waiting = new Set<() => void>()
  /** the generation its reader has */
  #read = 0
  readonly #readers = new Set<() => void>()

  constructor(socket: string, name: string, uuid: string) {
    this.socket = socket
    this.name = name
    this.uuid = uuid
  }

  get report(): Report {
    const own = { mode: 'exclusive' } as const
    return {
      name: this.name,
      uuid: this.uuid,
      id: 1,
      state: 1,
      reason: 1,
      persistent: false,
      autostart: false,
      managedSave: false,
      snapshots: false,
      checkpoints: false,
      generation: this.#generation,
      pids: { shim: process.pid, qemu: null },
      versions: { virshim: '0', qemu: '0', node: '0' },
      sockets: { api: this.socket },
      allocations: [
        { kind: 'name', key: this.name, ...own },
        { kind: 'uuid', key: this.uuid, ...own },
        ...this.#allocations
      ],
      claims: this.#claims
    }
  }

  async listen(): Promise<void> {
    mkdirSync(dirname(this.socket), { recursive: true })
    if (existsSync(this.socket)) rmSync(this.socket)
    const server = createServer((request, reply) => void this.#answer(request.url ?? '', reply))
    server.keepAliveTimeout = 0
    this.#server = server
    await new Promise<void>(done => server.listen(this.socket, done))
  }

  /** Changes what it reports. */
  hold(allocations: readonly Allocation[], claims: readonly string[]): void {
    this.#allocations = allocations
    this.#claims = claims
    this.#generation++
    for (const wake of [...this.#waiting]) wake()
  }

  /** Settles when its reader has the present report. */
  async read(): Promise<void> {
    const wanted = this.#generation
    while (this.#read < wanted) await new Promise<void>(done => this.#readers.add(done))
  }

  close(): void {
    this.#server?.closeAllConnections()
    this.#server?.close()
  }

  async #answer(url: string, reply: ServerResponse): Promise<void> {
    const { pathname, searchParams: query } = new URL(url, 'http://x')
    if (pathname === '/v1/guests') return say(reply, 200, { guests: [this.report] })
    if (pathname !== '/v1/report') return say(reply, 404, { code: 39, message: `unknown path '${pathname}'` })
    const since = Number(query.get('since') ?? -1)
    // what it asks for next tells what it has
    if (since > this.#read) {
      this.#read = since
      for (const done of this.#readers) done()
      this.#readers.clear()
    }
    const isNew = this.#generation > since || (await this.#changes(Number(query.get('wait') ?? 0) * 1000))
    say(reply, isNew ? 200 : 304, isNew ? this.report : undefined)
  }

  #changes(limitMs: number): Promise<boolean> {
    return new Promise(done => {
      const finish = (changed: boolean) => {
        clearTimeout(timer)
        this.#waiting.delete(wake)
        done(changed)
      }
      const wake = () => finish(true)
      const timer = setTimeout(() => finish(false), limitMs)
      timer.unref()
      this.#waiting.add(wake)
    })
  }
}

function say(reply: ServerResponse, status: number, value: object | undefined): void {
  const body = value ? JSON.stringify(value) : ''
  reply.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  reply.end(body)
}
