// Shims that come, go, hang and change, found in the guests directory, by patterns and by being told; the shims are simulated.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Discovery } from '../../../src/server/aggregator/discovery.ts'
import { layoutOf } from '../../../src/server/aggregator/layout.ts'
import { ReportPoll } from '../../../src/server/aggregator/poll.ts'
import { type KnownGuest, Registry } from '../../../src/server/aggregator/registry.ts'
import { bootId, processIdentity, STATUS_VERSION } from '../../../src/state/status.ts'
import { SimulatedShim, simulatedReport } from '../../helper/simulated-shims.ts'

t.setTimeout(120_000)

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const LIMIT_MS = 20_000

/** A root with a discovery on it, and what makes shims there. */
class Host {
  readonly dir = mkdtempSync(join(tmpdir(), 'virshim-view-'))
  registry = new Registry()
  discovery: Discovery
  readonly #patterns: string[]
  readonly #shims: SimulatedShim[] = []

  constructor(t: Test, patterns: string[] = []) {
    this.#patterns = patterns.map(pattern => join(this.dir, pattern))
    this.discovery = this.#discover()
    t.teardown(() => {
      this.discovery.close()
      for (const shim of this.#shims) shim.close()
      rmSync(this.dir, { recursive: true, force: true })
    })
  }

  #discover(): Discovery {
    return new Discovery(this.registry, layoutOf(join(this.dir, 'root')), this.#patterns, quiet)
  }

  /** As if the aggregator was killed and started again. */
  async again(): Promise<void> {
    this.discovery.close()
    this.registry = new Registry()
    this.discovery = this.#discover()
    await this.discovery.start()
  }

  guestDir(name: string): string {
    return join(this.dir, 'root/guests', name)
  }

  async shim(number: number, dir?: string): Promise<SimulatedShim> {
    const report = simulatedReport(number)
    const shim = new SimulatedShim(dir ?? this.guestDir(report.name), report)
    this.#shims.push(shim)
    await shim.listen()
    return shim
  }

  /** Waits until the guest of that name is as wanted. */
  async until(name: string, wanted: (guest: KnownGuest | undefined) => boolean): Promise<KnownGuest | undefined> {
    const { registry } = this
    const isSo = () => wanted(registry.byName(name))
    if (!isSo()) {
      await new Promise<void>((done, failed) => {
        const limit = setTimeout(() => {
          failed(new Error(`${name} is ${JSON.stringify(registry.byName(name))}`))
        }, LIMIT_MS)
        const look = () => {
          if (!isSo()) return
          clearTimeout(limit)
          registry.off('guest', look)
          registry.off('gone', look)
          done()
        }
        registry.on('guest', look)
        registry.on('gone', look)
      })
    }
    return registry.byName(name)
  }
}

const isThere = (guest: KnownGuest | undefined) => guest !== undefined
const isGone = (guest: KnownGuest | undefined) => guest === undefined

t.test('shims that were there are known once it has begun, others when they come', async t => {
  const host = new Host(t)
  await host.shim(1)
  await host.discovery.start()
  t.equal(host.registry.byName('sim-1')?.socket, join(host.guestDir('sim-1'), 'api.sock'))
  await host.shim(2)
  await host.until('sim-2', isThere)
  mkdirSync(join(host.guestDir('sim-3'), 'log'), { recursive: true })
  await host.shim(3)
  await host.until('sim-3', isThere)
})

t.test('a change of the report is a change here', async t => {
  const host = new Host(t)
  const shim = await host.shim(1)
  await host.discovery.start()
  const before: number[] = []
  host.registry.on('guest', (_guest, former) => before.push(former?.state ?? -1))
  shim.change({ state: 3 })
  await host.until('sim-1', guest => guest?.report.state === 3)
  shim.change({ state: 1 })
  await host.until('sim-1', guest => guest?.report.state === 1)
  t.same(before, [1, 3])
})

t.test('a shim that ends takes its guest with it, one that comes back brings it again', async t => {
  const host = new Host(t)
  const shim = await host.shim(1)
  await host.discovery.start()
  shim.close()
  await host.until('sim-1', isGone)
  await host.shim(1)
  await host.until('sim-1', isThere)
})

t.test('a shim that was killed and left its socket is gone when its QEMU is', async t => {
  const host = new Host(t)
  const shim = await host.shim(1)
  await host.discovery.start()
  shim.close({ killed: true })
  await host.until('sim-1', isGone)
})

/** status.json of a guest whose QEMU is the process of that id. */
function statusOf(pid: number, boot = bootId()): string {
  const { name, uuid } = simulatedReport(1)
  const startTime = processIdentity(pid)?.startTime ?? '0'
  return JSON.stringify({
    version: STATUS_VERSION,
    bootId: boot,
    phase: 'running',
    name,
    uuid,
    id: 1,
    persistent: false,
    process: { pid, startTime },
    state: 1,
    reason: 1,
    stateTimeMs: 1,
    generation: 7,
    paused: false,
    autoDestroy: false,
    cgroups: [],
    xml: `<domain type='qemu' id='1'><name>${name}</name><uuid>${uuid}</uuid></domain>`
  })
}

t.test('one whose QEMU runs on is unreachable until another shim takes over', async t => {
  const host = new Host(t)
  const shim = await host.shim(1)
  writeFileSync(join(host.guestDir('sim-1'), 'status.json'), statusOf(process.pid))
  await host.discovery.start()
  const before = Date.now()
  shim.close({ killed: true })
  const guest = await host.until('sim-1', one => one?.unreachableSince !== undefined)
  t.ok(guest!.unreachableSince! >= before)
  t.equal(guest?.report.generation, 1, 'the last report stands')
  await host.again()
  t.match(host.registry.byName('sim-1'), { unreachableSince: Number, report: { id: 1, pids: { qemu: process.pid } } })
  rmSync(shim.socket, { force: true })
  await host.shim(1)
  await host.until('sim-1', one => one?.unreachableSince === undefined)
})

t.test('the status of another boot, or of a process that is gone, is of no guest', async t => {
  const host = new Host(t)
  const dir = host.guestDir('sim-1')
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'status.json'), statusOf(process.pid, 'another'))
  await host.discovery.start()
  t.equal(host.registry.size, 0)
  writeFileSync(join(dir, 'status.json'), statusOf(4_190_000))
  await host.again()
  t.equal(host.registry.size, 0)
})

t.test('a shim that hangs is unreachable, delays no other, and comes back', async t => {
  const host = new Host(t)
  const hung = await host.shim(1)
  const other = await host.shim(2)
  await host.discovery.start()
  hung.hangs = true
  other.change({ state: 3 })
  await host.until('sim-2', guest => guest?.report.state === 3)
  await host.until('sim-1', guest => guest?.unreachableSince !== undefined)
  t.equal(host.registry.byName('sim-2')?.unreachableSince, undefined)
  hung.recover()
  await host.until('sim-1', guest => guest?.unreachableSince === undefined)
})

t.test('a defined guest without a shim is shut off, and goes with its definition', async t => {
  const host = new Host(t)
  const dir = host.guestDir('defined')
  const { uuid } = simulatedReport(9)
  const xml = `<domain type='qemu'><name>defined</name><uuid>${uuid}</uuid></domain>`
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'domain.xml'), xml)
  await host.discovery.start()
  t.match(host.registry.byName('defined'), {
    socket: undefined,
    report: { uuid, id: -1, state: 5, persistent: true, autostart: false }
  })
  writeFileSync(join(dir, 'autostart'), '')
  await host.until('defined', guest => guest?.report.autostart === true)
  writeFileSync(join(dir, 'domain.xml'), '<domain>')
  await host.until('defined', isGone)
  writeFileSync(join(dir, 'domain.xml'), xml)
  await host.until('defined', isThere)
  rmSync(dir, { recursive: true })
  await host.until('defined', isGone)
})

t.test('patterns find sockets elsewhere, and a second way to a guest is flagged', async t => {
  const host = new Host(t, ['pods/*/api.sock'])
  await host.discovery.start()
  const podded = await host.shim(1, join(host.dir, 'pods/a'))
  await host.until('sim-1', isThere)
  const own = await host.shim(2)
  mkdirSync(join(host.dir, 'pods/b'))
  symlinkSync(own.socket, join(host.dir, 'pods/b/api.sock'))
  await host.until('sim-2', guest => guest !== undefined && host.registry.flags(guest).includes('two sockets'))
  t.equal([...host.registry.guests()].length, 2, 'listed once')
  podded.close()
  await host.until('sim-1', isGone)
})

t.test('a socket it is told of is kept in mind as long as it is there', async t => {
  const host = new Host(t)
  await host.discovery.start()
  const elsewhere = join(host.dir, 'elsewhere')
  const shim = await host.shim(1, elsewhere)
  t.equal((await host.discovery.add(shim.socket)).report.name, 'sim-1')
  await host.again()
  t.equal(host.registry.byName('sim-1')?.socket, shim.socket)
  await t.rejects(host.discovery.add(join(elsewhere, 'none.sock')), { code: 'VIR_ERR_OPERATION_FAILED' })
  shim.close()
  await host.until('sim-1', isGone)
  await host.again()
  t.equal(host.registry.size, 0)
})

t.test('whatever else listens at such a socket is no guest, and harms none', async t => {
  const answers = [
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnot j',
    `HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n`,
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 304 Not Modified\r\n\r\n',
    'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n',
    'SSH-2.0-x\r\n\r\n',
    'x'.repeat(100_000)
  ]
  const host = new Host(t)
  const servers = answers.map((answer, i) => {
    const dir = host.guestDir(`odd-${i}`)
    mkdirSync(dir, { recursive: true })
    const server = createServer(client => {
      client.on('error', () => undefined)
      client.on('data', () => client.write(answer))
    })
    return server.listen(join(dir, 'api.sock'))
  })
  t.teardown(() => servers.map(server => server.close()))
  await host.shim(1)
  await host.discovery.start()
  t.same(
    Array.from(host.registry.all(), ({ report }) => report.name),
    ['sim-1']
  )
  host.discovery.close()
})

t.test('a poll goes on over a connection that was closed behind it', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-poll-'))
  const shim = new SimulatedShim(join(dir, 'g'), simulatedReport(1))
  await shim.listen()
  const told: string[] = []
  let heard = () => {}
  const poll = new ReportPoll(
    shim.socket,
    {
      report: ({ state }) => {
        told.push(`state ${state}`)
        heard()
      },
      same: () => told.push('same'),
      silent: () => told.push('silent'),
      lost: () => told.push('lost')
    },
    () => 60
  )
  t.teardown(() => {
    poll.close()
    shim.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const next = () =>
    new Promise<void>(done => {
      heard = done
    })
  await next()
  const again = next()
  shim.dropClients()
  await again
  t.same(told, ['state 1', 'state 1'], 'without a word of it')
})
