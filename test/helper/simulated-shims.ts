// Report sockets of shims that are not there: for load, and for what real shims do only when they break. Each is simulated:
// it answers GET /v1/report and /v1/stats as a shim with an ordinary small guest would, and nothing else.
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Report } from '../../src/server/report.ts'

/** A change of a report; its generation grows by itself. */
export type Change = Partial<Omit<Report, 'generation'>>

/** The report of an ordinary running guest. */
export function simulatedReport(number: number, name = `sim-${number}`): Report {
  const uuid = `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`
  const own = (kind: string, key: string) => ({ kind, key, mode: 'exclusive' as const })
  return {
    name,
    uuid,
    id: number,
    state: 1,
    persistent: true,
    autostart: false,
    managedSave: false,
    snapshots: false,
    checkpoints: false,
    reason: 1,
    generation: 1,
    pids: { shim: 4_200_000 + 2 * number, qemu: 4_200_001 + 2 * number },
    versions: { virshim: '0.1.0', qemu: '7.2.22', node: process.version },
    sockets: { api: '', apiReadOnly: '', libvirt: '', libvirtReadOnly: '' },
    allocations: [
      own('name', name),
      own('uuid', uuid),
      own('domain-id', String(number)),
      { kind: 'memory', amount: 131_072, mode: 'exclusive' },
      { kind: 'vcpu', amount: 1, mode: 'shared' },
      own('disk', `2049:${number}`),
      own(
        'mac',
        `52:54:00:${[16, 8, 0].map(shift => ((number >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`
      ),
      own('tap', `vnet${number}`),
      own('tcp-port', String(5900 + number)),
      own('cgroup', `/sys/fs/cgroup/machine/qemu-${number}-${name}.virshim`)
    ]
  }
}

/** Statistics of such a guest, as GET /v1/stats has them. */
function simulatedStats({ state, reason }: Report): string {
  const fields: Record<string, [type: string, value: number | string]> = {
    'state.state': ['int', state],
    'state.reason': ['int', reason],
    'cpu.time': ['ullong', 13_370_000_000],
    'cpu.user': ['ullong', 9_120_000_000],
    'cpu.system': ['ullong', 4_250_000_000],
    'balloon.current': ['ullong', 131_072],
    'balloon.maximum': ['ullong', 131_072],
    'balloon.last-update': ['ullong', 0],
    'balloon.rss': ['ullong', 93_116],
    'vcpu.current': ['uint', 1],
    'vcpu.maximum': ['uint', 1],
    'vcpu.0.state': ['int', 1],
    'vcpu.0.time': ['ullong', 11_950_000_000],
    'vcpu.0.wait': ['ullong', 0],
    'vcpu.0.delay': ['ullong', 184_973_546],
    'net.count': ['uint', 1],
    'net.0.name': ['string', 'vnet0']
  }
  for (const way of ['rx', 'tx']) {
    for (const what of ['bytes', 'pkts', 'errs', 'drop']) fields[`net.0.${way}.${what}`] = ['ullong', 1234]
  }
  fields['block.count'] = ['uint', 1]
  fields['block.0.name'] = ['string', 'vda']
  fields['block.0.path'] = ['string', '/var/lib/libvirt/images/sim.qcow2']
  for (const what of ['rd.reqs', 'rd.bytes', 'rd.times', 'wr.reqs', 'wr.bytes', 'wr.times', 'fl.reqs', 'fl.times']) {
    fields[`block.0.${what}`] = ['ullong', 567_890]
  }
  for (const what of ['allocation', 'capacity', 'physical']) fields[`block.0.${what}`] = ['ullong', 67_108_864]
  const typed = Object.entries(fields).map(([name, [type, value]]) => [name, { type, value }])
  return JSON.stringify(Object.fromEntries(typed))
}

/** One of them. */
export class SimulatedShim {
  readonly socket: string
  report: Report
  /** it holds connections and answers nothing */
  hangs = false
  #server: Server | undefined
  readonly #clients = new Set<Socket>()
  /** clients that wait for the report to change, by what ends their wait */
  readonly #waiting = new Map<Socket, NodeJS.Timeout>()

  constructor(dir: string, report: Report) {
    mkdirSync(dir, { recursive: true })
    this.socket = join(dir, 'api.sock')
    this.report = { ...report, sockets: { api: this.socket } }
  }

  async listen(): Promise<void> {
    const server = createServer(client => {
      this.#clients.add(client)
      client.on('close', () => {
        this.#clients.delete(client)
        this.#stopWaiting(client)
      })
      client.on('error', () => undefined)
      client.on('data', bytes => this.#answer(client, bytes.toString('latin1')))
    })
    this.#server = server
    // seen only once it accepts, as a real one's
    const unready = `${this.socket}.new`
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(unready, resolve)
    })
    renameSync(unready, this.socket)
  }

  /** Something changes, and whoever waits is told. */
  change(change: Change): void {
    this.report = { ...this.report, ...change, generation: this.report.generation + 1 }
    for (const client of [...this.#waiting.keys()]) this.#tell(client)
  }

  /** Answers again, what was asked meanwhile too. */
  recover(): void {
    this.hangs = false
    for (const client of this.#clients) this.#tell(client)
  }

  /** Closes connections, as HTTP servers may at any time. */
  dropClients(): void {
    for (const client of this.#clients) client.destroy()
  }

  /** As a shim that ends: no connection, no socket. A killed one leaves its socket. */
  close({ killed = false } = {}): void {
    // closing removes the path it was bound to, which is none any more
    this.#server?.close()
    this.dropClients()
    if (!killed) rmSync(this.socket, { force: true })
  }

  #answer(client: Socket, request: string): void {
    if (this.hangs) return
    const url = /^GET (\S+) /.exec(request)?.[1] ?? ''
    const { pathname, searchParams } = new URL(url, 'http://shim')
    if (pathname === '/v1/report') this.#answerReport(client, searchParams)
    else if (pathname === '/v1/stats') send(client, '200 OK', simulatedStats(this.report))
    else send(client, '404 Not Found', '{}')
  }

  #answerReport(client: Socket, query: URLSearchParams): void {
    if (this.report.generation > Number(query.get('since') ?? -1)) {
      this.#tell(client)
      return
    }
    const over = () => {
      this.#waiting.delete(client)
      if (!this.hangs) client.write('HTTP/1.1 304 Not Modified\r\n\r\n')
    }
    this.#waiting.set(client, setTimeout(over, Number(query.get('wait') ?? 0) * 1000))
  }

  #tell(client: Socket): void {
    this.#stopWaiting(client)
    if (!this.hangs) send(client, '200 OK', JSON.stringify(this.report))
  }

  #stopWaiting(client: Socket): void {
    clearTimeout(this.#waiting.get(client))
    this.#waiting.delete(client)
  }
}

function send(client: Socket, status: string, body: string): void {
  client.write(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
}
