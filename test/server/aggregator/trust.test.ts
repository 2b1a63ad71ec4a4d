// What a watched shim says of others: nothing of it is believed. The shims are simulated.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { DEFAULT_OVERCOMMITS } from '../../../src/server/aggregator/budget.ts'
import { Discovery } from '../../../src/server/aggregator/discovery.ts'
import { EventStream } from '../../../src/server/aggregator/event-stream.ts'
import { layoutOf } from '../../../src/server/aggregator/layout.ts'
import { Pace } from '../../../src/server/aggregator/pace.ts'
import { Registry } from '../../../src/server/aggregator/registry.ts'
import { Resources } from '../../../src/server/aggregator/resources.ts'
import { guestsJson } from '../../../src/server/aggregator/view.ts'
import { formatAnswer } from '../../../src/server/raw-http.ts'
import type { Report } from '../../../src/server/report.ts'
import { ownNamespaces } from '../../../src/state/claim.ts'
import { processIdentity } from '../../../src/state/status.ts'
import { type Change, SimulatedShim, simulatedReport } from '../../helper/simulated-shims.ts'

t.setTimeout(120_000)

const LIMIT_MS = 60_000
const quiet = { debug() {}, info() {}, warn() {}, error() {} }

class Host {
  readonly dir = mkdtempSync(join(tmpdir(), 'virshim-trust-'))
  readonly registry = new Registry()
  readonly discovery: Discovery
  readonly resources: Resources
  readonly #ends: (() => void)[] = []

  constructor(t: Test) {
    const { dir, registry } = this
    const layout = layoutOf(join(dir, 'root'))
    this.discovery = new Discovery(registry, layout, [join(dir, 'pods/*/api.sock')], quiet)
    this.resources = new Resources({
      layout,
      registry,
      discovery: this.discovery,
      overcommits: DEFAULT_OVERCOMMITS,
      graceMs: undefined,
      log: quiet
    })
    t.teardown(() => {
      this.discovery.close()
      this.resources.close()
      for (const end of this.#ends) end()
      rmSync(dir, { recursive: true, force: true })
    })
  }

  guestDir(name: string): string {
    return join(this.dir, 'root/guests', name)
  }

  podSocket(pod: string): string {
    return join(this.dir, 'pods', pod, 'api.sock')
  }

  /** A shim of our own, or with a pod's name one that is watched. */
  async shim(report: Report, pod?: string): Promise<SimulatedShim> {
    const shim = new SimulatedShim(pod ? dirname(this.podSocket(pod)) : this.guestDir(report.name), report)
    this.#ends.push(() => shim.close())
    await shim.listen()
    return shim
  }

  /** Defines a guest that is shut off. */
  define({ name, uuid }: Report): void {
    mkdirSync(this.guestDir(name), { recursive: true })
    writeFileSync(
      join(this.guestDir(name), 'domain.xml'),
      `<domain type='qemu'><name>${name}</name><uuid>${uuid}</uuid></domain>`
    )
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    for (const deadline = Date.now() + LIMIT_MS; !isSo(); await sleep(10)) {
      if (Date.now() > deadline) throw new Error(`not so: ${what}`)
    }
  }

  listed(): string[] {
    return Array.from(this.registry.guests(), ({ report, place }) => `${report.name} ${place.split('/').at(-1)}`)
  }

  claim(name: string, uuid: string, keys: Record<string, string>, socket = `/nowhere/${name}/api.sock`) {
    return this.resources.claim({
      name,
      uuid,
      socket,
      ...processIdentity(process.pid)!,
      namespaces: ownNamespaces(),
      resources: Object.entries(keys).map(([kind, key]) => ({ kind, key, mode: 'exclusive' }))
    })
  }
}

const taken = (code: string) => ({ code: `VIR_ERR_${code}`, httpStatus: 409 })

const victim = simulatedReport(1, 'victim')
const liar = (change: Change) => ({ ...simulatedReport(2, 'liar'), ...change })

t.test('a stranger with name and uuid of a guest of ours is shown, flagged, and neither listed nor called', async t => {
  for (const isOff of [false, true]) {
    const host = new Host(t)
    if (isOff) host.define(victim)
    else await host.shim(victim)
    for (const [pod, change] of Object.entries({
      both: { name: victim.name, uuid: victim.uuid },
      name: { name: victim.name },
      uuid: { uuid: victim.uuid.toUpperCase() }
    })) {
      await host.shim(liar({ ...change, allocations: [] }), pod)
    }
    await host.discovery.start()
    await host.until('all are known', () => host.registry.size === 4)
    t.same(host.listed(), ['victim victim'])
    for (const word of [victim.name, victim.uuid, victim.uuid.toUpperCase()]) {
      t.equal(host.registry.find(word)?.place, host.guestDir('victim'), word)
    }
    t.equal(host.registry.find(simulatedReport(2).uuid), undefined, 'not even by a uuid of its own')
    const { conflicts } = host.resources.conflicts()
    t.same(conflicts.map(({ kind, holders }) => `${kind} ${holders.length}`).sort(), ['name 3', 'uuid 3'])
    t.ok(host.registry.flags(host.registry.at(host.podSocket('both'))!).includes('same uuid'))
  }
})

t.test('a guest that is kept has its name, though its shim has ended just now', async t => {
  const host = new Host(t)
  host.define(victim)
  const shim = await host.shim(victim)
  await host.discovery.start()
  t.same(host.listed(), ['victim victim'])
  shim.close()
  // nobody has noticed yet
  await t.rejects(host.claim('third', simulatedReport(3).uuid, { name: 'victim' }), taken('OPERATION_FAILED'))
  t.equal(host.registry.find('victim')?.socket, undefined)
  const gone = await host.shim(liar({ allocations: [{ kind: 'disk', key: '7:7', mode: 'exclusive' }] }))
  await host.until('it is known', () => host.registry.find('liar') !== undefined)
  gone.close()
  await host.claim('third', simulatedReport(3).uuid, { disk: '7:7' })
})

t.test(
  'one that was there first is outranked when a guest of ours comes, and does not keep it from its names',
  async t => {
    const host = new Host(t)
    await host.shim(liar({ name: victim.name, uuid: victim.uuid }), 'a')
    await host.discovery.start()
    t.equal(host.registry.find('victim')?.place, host.podSocket('a'))
    host.define(victim)
    await host.until('it is ours', () => host.registry.find('victim')?.place === host.guestDir('victim'))
    const socket = join(host.guestDir('victim'), 'api.sock')
    await host.claim('victim', victim.uuid, { name: 'victim', uuid: victim.uuid }, socket)
    await t.rejects(host.claim('third', simulatedReport(3).uuid, { name: 'victim' }), taken('OPERATION_FAILED'))
  }
)

t.test('of strangers the first one keeps its names, whoever answers', async t => {
  const host = new Host(t)
  const first = await host.shim(victim, 'a')
  await host.discovery.start()
  await host.shim(liar({ uuid: victim.uuid }), 'b')
  await host.until('both are known', () => host.registry.size === 2)
  first.close({ killed: true })
  await host.until('it is gone', () => host.registry.at(host.podSocket('a'))?.unreachableSince !== undefined)
  t.equal(host.registry.find(victim.uuid)?.place, host.podSocket('a'))
})

t.test('a socket keeps the identity it said first; another name is no way to be taken for who has it', async t => {
  const host = new Host(t)
  const shim = await host.shim(liar({}), 'a')
  await host.discovery.start()
  await host.shim(victim, 'b')
  await host.until('both are known', () => host.registry.size === 2)
  const place = host.podSocket('a')
  const known = () => host.registry.at(place)!
  shim.change({ uuid: simulatedReport(3).uuid })
  await host.until('it is not believed', () => host.registry.leftOut.has(place))
  t.match(host.resources.conflicts().leftOut, [{ place, reason: /domain 'liar' calls itself 'liar' with uuid 0+-/ }])
  t.equal(known().report.uuid, simulatedReport(2).uuid)
  t.type(known().unreachableSince, 'number')
  shim.change({ uuid: simulatedReport(2).uuid, name: 'victim' })
  await host.until('it has its new name', () => known().report.name === 'victim')
  t.notOk(host.registry.leftOut.has(place), 'it is believed again')
  t.equal(host.registry.find('victim')?.place, host.podSocket('b'))
})

t.test('a report that cannot be shown is left out and flagged; the others are listed', async t => {
  const host = new Host(t)
  await host.shim(victim)
  const odd: Record<string, Change> = {
    uuid: { uuid: 'victim' },
    empty: { uuid: '' },
    id: { id: 3_000_000_000 },
    name: { name: 'a\nb' },
    long: { name: 'x'.repeat(5000) },
    pid: { pids: { shim: -1, qemu: null } },
    many: { claims: Array(2000).fill('a') },
    kind: { allocations: [{ kind: 'constructor', key: '1', mode: 'shared' }] }
  }
  for (const [pod, change] of Object.entries(odd)) await host.shim(liar(change), pod)
  await host.discovery.start()
  t.same(host.listed(), ['victim victim'])
  const { leftOut } = host.resources.conflicts()
  t.same(
    leftOut.map(({ place }) => place).sort(),
    Object.keys(odd)
      .map(pod => host.podSocket(pod))
      .sort()
  )
  t.ok(leftOut.every(({ reason }) => reason.startsWith("not a guest's report: ")))
})

t.test("the ledger knows guests by their sockets: a liar's words and generation are its own loss", async t => {
  const host = new Host(t)
  const shim = await host.shim(victim)
  await host.discovery.start()
  const { socket } = shim
  const held = () => host.resources.allocations().allocations.filter(({ holder }) => holder.socket === socket).length
  const before = held()
  const words = { uuid: victim.uuid, pids: victim.pids, namespaces: ownNamespaces(), allocations: [] }
  const evil = await host.shim({ ...liar(words), sockets: { api: socket }, generation: 999_999_999 }, 'a')
  evil.report.sockets = { api: socket }
  await host.until('it is known', () => host.registry.size === 2)
  t.equal(held(), before)
  await t.rejects(host.claim('third', simulatedReport(3).uuid, { disk: '2049:1' }), taken('RESOURCE_BUSY'))
  shim.change({ allocations: [...victim.allocations, { kind: 'pci', key: '0000:01:00.0', mode: 'exclusive' }] })
  await host.until('its later reports count', () => held() === before + 1)
  await t.rejects(host.claim('third', simulatedReport(3).uuid, { pci: '0000:01:00.0' }), taken('OPERATION_INVALID'))
  evil.close()
  await host.until('the liar is gone', () => host.registry.size === 1)
  t.equal(held(), before + 1)
})

t.test('a claim of a container is tied to the shim whose report lists it', async t => {
  const host = new Host(t)
  const shim = await host.shim(liar({}), 'a')
  await host.discovery.start()
  const request = (claim: string) => ({
    claim,
    name: 'liar',
    uuid: simulatedReport(2).uuid,
    socket: '/inside/api.sock',
    ...processIdentity(process.pid)!,
    namespaces: { ...ownNamespaces(), mnt: 'mnt:[1]' },
    resources: [{ kind: 'disk', key: '2049:2', mode: 'exclusive' }]
  })
  await t.rejects(host.resources.claim(request('ab')), taken('RESOURCE_BUSY'), 'anybody could say so')
  shim.change({ claims: ['abc'] })
  t.match(await host.resources.claim(request('abc')), { claim: 'abc' })
  t.notOk('claims' in guestsJson(host.registry).guests[0]!, 'nobody else is told of it')
})

t.test('a socket that a claim names is looked at before anybody connects to it', async t => {
  const host = new Host(t)
  await host.discovery.start()
  let connected = 0
  const other = join(host.dir, 'docker.sock')
  const server = createServer(() => connected++).listen(other)
  t.teardown(() => server.close())
  const shim = await host.shim(simulatedReport(4), 'unwatched/deep')
  await host.claim('other', simulatedReport(3).uuid, { disk: '1:1' }, other)
  await host.claim('sim-4', simulatedReport(4).uuid, { disk: '2:2' }, shim.socket)
  await host.until('the one that claims is found', () => host.registry.find('sim-4') !== undefined)
  await sleep(1500)
  t.equal(connected, 0)
})

t.test('asking is paced, whatever a shim does to be asked more often', async t => {
  const host = new Host(t)
  const report = liar({})
  const asked: Record<string, number[]> = { fast: [], closing: [], unasked: [] }
  for (const [pod, times] of Object.entries(asked)) {
    mkdirSync(dirname(host.podSocket(pod)), { recursive: true })
    const server = createServer(client => {
      client.on('error', () => undefined)
      client.on('data', () => {
        times.push(performance.now())
        const answer = formatAnswer(
          JSON.stringify({ ...report, uuid: simulatedReport(pod.length).uuid, name: pod, generation: times.length })
        )
        client.write(answer)
        if (pod === 'closing') client.end()
        if (pod === 'unasked') setImmediate(() => client.write(answer))
      })
    }).listen(host.podSocket(pod))
    t.teardown(() => server.close())
  }
  await host.discovery.start()
  await sleep(3000)
  host.discovery.close()
  for (const [pod, times] of Object.entries(asked)) {
    const most = Math.max(...times.map(from => times.filter(at => at >= from && at < from + 1000).length))
    t.ok(times.length > 5 && most <= 21, `${pod}: ${times.length}, ${most} in a second`)
  }
})

t.test('an event that never ends is given up', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-trust-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const server = createServer(client => {
    client.on('error', () => undefined)
    client.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ')
    const more = setInterval(() => client.write('x'.repeat(10_000)), 1)
    client.on('close', () => clearInterval(more))
  }).listen(join(dir, 'api.sock'))
  t.teardown(() => server.close())
  await new Promise<void>(ended => new EventStream(join(dir, 'api.sock'), undefined, { event() {}, ended }))
  t.pass('ended')
})

t.test('pace', async t => {
  const pace = new Pace(0)
  t.same(
    Array.from({ length: 12 }, () => pace.next(0)),
    [...Array(10).fill(0), 100, 200]
  )
  t.equal(pace.next(1300), 0)
})
