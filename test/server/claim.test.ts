// Real shims and a real aggregator: what one guest has, another does not get; and nobody needs the aggregator.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Overlap } from '../../src/server/aggregator/ledger.ts'
import type { HeldAllocation } from '../../src/server/aggregator/resources.ts'
import { AggregatorRun } from '../helper/aggregator.ts'
import { ReportingShim } from '../helper/reporting-shim.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1

async function aggregatorFor(t: Test, ...options: string[]): Promise<AggregatorRun> {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start(...options)
  return aggregator
}

function guest(t: Test, name: string, inside = ''): Shim {
  const shim = new Shim(bareGuest(`t-claims-${name}`, inside))
  t.teardown(() => shim.end())
  return shim
}

/** Starts a guest that must run. */
async function started(aggregator: Pick<AggregatorRun, 'socket'>, shim: Shim): Promise<Shim> {
  for (;;) {
    const exited = shim.start('--aggregator', aggregator.socket)
    await shim.untilState(RUNNING)
    // a real one on a busy host may answer too late for a start, which goes on without then
    if (!(aggregator instanceof AggregatorRun) || !shim.stderr.includes('the aggregator does not answer')) return shim
    await shim.call('virDomainDestroy', {})
    await exited
    shim.stderr = ''
  }
}

/** virshimd's status where a start is refused; one that a real aggregator on a busy host answers too late is tried again. */
async function refusal(aggregator: AggregatorRun, shim: Shim): Promise<number | string> {
  for (;;) {
    shim.stderr = ''
    let ended: number | string | undefined
    const exited = shim.start('--aggregator', aggregator.socket).then(code => {
      ended = code
    })
    while (ended === undefined && !shim.stderr.includes('guest started')) await sleep(20)
    if (ended !== undefined) return ended
    if (!shim.stderr.includes('the aggregator does not answer')) throw new Error('it was not refused')
    await shim.call('virDomainDestroy', {})
    await exited
  }
}

const allocationsOf = async (aggregator: AggregatorRun, name: string) => {
  const { body } = await aggregator.ask('GET', '/v1/allocations')
  return (body.allocations as HeldAllocation[]).filter(({ holder }) => holder.name === `t-claims-${name}`)
}

const keyOf = (all: HeldAllocation[], kind: string) => all.find(one => one.kind === kind)?.key

t.test('the same disk, address, name: the second guest is refused, in time for the third', async t => {
  const aggregator = await aggregatorFor(t)
  const image = join(aggregator.dir, 'disk.img')
  execFileSync('truncate', ['-s', '1M', image])
  const disk = `<disk type='file'><source file='${image}'/><target dev='vda' bus='virtio'/></disk>`
  const nic = "<interface type='user'><mac address='52:54:00:c1:a1:35'/></interface>"
  const first = await started(aggregator, guest(t, 'first', disk + nic))
  await aggregator.untilSo('the first is reported', async () =>
    (await allocationsOf(aggregator, 'first')).every(({ state }) => state === 'reported')
  )
  const refused = async (name: string, inside: string) => {
    const shim = guest(t, name, inside)
    t.equal(await refusal(aggregator, shim), 1)
    t.same(
      ['status.json', 'qmp.sock', 'api.sock'].filter(file => existsSync(join(shim.root, file))),
      [],
      'and leaves nothing'
    )
    return shim.errors.trim()
  }
  t.equal(await refused('disk', disk), `error: resource busy: disk '${image}' is in use by domain 't-claims-first'`)
  t.equal(
    await refused('mac', nic),
    "error: resource busy: mac '52:54:00:c1:a1:35' is in use by domain 't-claims-first'"
  )
  t.match(
    await refused('first', ''),
    /^error: operation failed: domain 't-claims-first' already exists with uuid [-0-9a-f]{36}$/
  )
  const shared = disk.replace('<source', '<shareable/><source')
  t.match(await refused('shared', shared), /disk '.*' is in use by domain 't-claims-first'/)
  t.equal(readdirSync(join(aggregator.root, 'claims')).length, 1)

  t.equal((await first.call('virDomainDestroy', {})).status, 200)
  // at once: the aggregator asks again before it refuses
  await started(aggregator, guest(t, 'third', shared))
  await started(aggregator, guest(t, 'fourth', shared))
})

t.test('ports and ids are chosen for the host as a whole', async t => {
  const aggregator = await aggregatorFor(t, '--watch', '/nowhere/*/api.sock')
  // ports that nobody listens on, and an id, of a guest that says so
  const other = new ReportingShim(
    join(aggregator.root, 'guests/other/api.sock'),
    'other',
    'b0f2b2a4-3b39-4b7c-8d6e-000000000001'
  )
  await other.listen()
  t.teardown(() => other.close())
  const held = Array.from({ length: 300 }, (_, i) => ({
    kind: 'tcp-port',
    key: String(5900 + i),
    mode: 'exclusive' as const
  }))
  other.hold([...held, { kind: 'domain-id', key: '41', mode: 'exclusive' }], [])
  await aggregator.untilSo('the other is known', async () =>
    ((await aggregator.ask('GET', '/v1/allocations')).body.allocations as HeldAllocation[]).some(
      one => one.key === '41'
    )
  )
  const vnc = "<graphics type='vnc' autoport='yes' websocket='-1'/>"
  const [a, b] = await Promise.all([started(aggregator, guest(t, 'a', vnc)), started(aggregator, guest(t, 'b', vnc))])
  const portsOf = async (shim: Shim) => {
    const { xml } = (await shim.call('virDomainGetXMLDesc', { flags: 0 })).body
    return /port='(\d+)' autoport='yes' websocket='(\d+)'/.exec(xml)!.slice(1).map(Number)
  }
  const ports = [...(await portsOf(a)), ...(await portsOf(b))]
  t.equal(new Set(ports).size, 4)
  t.ok(
    [ports[0]!, ports[2]!].every(port => port >= 6200),
    'those of others are not taken although they are free'
  )
  const ids = await Promise.all([a, b].map(async shim => (await shim.call('/v1/report')).body.id))
  t.same(ids.sort(), [42, 43])
  t.equal(keyOf(await allocationsOf(aggregator, 'a'), 'tcp-port'), String(ports[0]))
  const named = guest(t, 'named', `<graphics type='vnc' port='${ports[0]}'/>`)
  t.equal(await refusal(aggregator, named), 1)
  t.match(named.errors, `resource busy: tcp-port '${ports[0]}' is in use by domain 't-claims-a'`)
})

t.test('a port somebody else listens on is passed over, also when the aggregator thinks it free', async t => {
  const aggregator = await aggregatorFor(t)
  const shim = await started(aggregator, guest(t, 'probe', "<graphics type='vnc' autoport='yes'/>"))
  const port = Number(keyOf(await allocationsOf(aggregator, 'probe'), 'tcp-port'))
  await shim.call('virDomainDestroy', {})
  const listener = createServer()
  await new Promise<void>(done => listener.listen(port, '0.0.0.0', done))
  t.teardown(() => listener.close())
  await started(aggregator, guest(t, 'next', "<graphics type='vnc' autoport='yes'/>"))
  const next = Number(keyOf(await allocationsOf(aggregator, 'next'), 'tcp-port'))
  t.not(next, port)
})

t.test(
  'a guest started without the aggregator is flagged, and one whose shim was killed still holds its own',
  async t => {
    const aggregator = await aggregatorFor(t)
    const nic = "<interface type='user'><mac address='52:54:00:c1:a1:36'/></interface>"
    const known = await started(aggregator, guest(t, 'known', nic))
    const stranger = guest(t, 'stranger', nic)
    void stranger.start('--aggregator', 'none')
    await stranger.untilState(RUNNING)
    await aggregator.ask('POST', '/v1/virDomainQemuReconnect', { socket: join(stranger.root, 'api.sock') })
    let overlap: Overlap | undefined
    await aggregator.untilSo('the overlap is seen', async () => {
      const { body } = await aggregator.ask('GET', '/v1/conflicts')
      overlap = (body.conflicts as Overlap[]).find(({ kind }) => kind === 'mac')
      return overlap !== undefined
    })
    t.equal(overlap?.key, '52:54:00:c1:a1:36')
    t.same(overlap?.holders.map(({ name }) => name).sort(), ['t-claims-known', 't-claims-stranger'])
    await stranger.call('virDomainDestroy', {})
    await aggregator.untilSo('it is over', async () => {
      const { body } = await aggregator.ask('GET', '/v1/conflicts')
      return body.conflicts.length === 0
    })

    known.child?.kill('SIGKILL')
    const again = guest(t, 'again', nic)
    t.equal(await refusal(aggregator, again), 1, 'QEMU is still there')
    await aggregator.kill()
    await aggregator.start()
    const later = guest(t, 'later', nic)
    t.equal(await refusal(aggregator, later), 1, 'a new aggregator knows it, too')
    void known.start('--aggregator', aggregator.socket)
    await known.untilState(RUNNING)
    t.equal(await refusal(aggregator, guest(t, 'last', nic)), 1, 'nor does taking over free it')
  }
)

t.test('a budget refuses a start, or lets it pass with a warning', async t => {
  const strict = await aggregatorFor(t, '--overcommit', 'memory=0.000001:refuse')
  const refused = guest(t, 'big')
  t.equal(await refusal(strict, refused), 1)
  t.match(
    refused.errors,
    /error: resource busy: memory: 65536 more beside the 0 in use is beyond the host's budget of \d+/
  )
  const lenient = await aggregatorFor(t, '--overcommit', 'memory=0.000001:warn')
  const warned = await started(lenient, guest(t, 'warned'))
  t.match(warned.stderr, 'the host is overcommitted')
  const inUse = async () => (await lenient.ask('GET', '/v1/conflicts')).body.budgets
  t.match(await inUse(), [{ kind: 'memory', used: 65536, exceeded: true }])

  await lenient.untilSo('it is known where the guest is', async () =>
    (await allocationsOf(lenient, 'warned')).every(({ state }) => state === 'reported')
  )
  warned.child?.kill('SIGKILL')
  await lenient.kill()
  await lenient.start('--overcommit', 'memory=0.000001:warn')
  t.type((await lenient.entry('t-claims-warned'))?.unreachableSince, 'number')
  t.match(await inUse(), [{ kind: 'memory', used: 65536, exceeded: true }], 'what was claimed is not counted again')
})

/** An aggregator that behaves in some way. */
async function badAggregator(t: Test, dir: string, behave: (server: Server) => void): Promise<{ socket: string }> {
  const socket = join(dir, `${readdirSync(dir).length}.sock`)
  const server = createServer(connection => connection.on('error', () => undefined))
  behave(server)
  await new Promise<void>(done => server.listen(socket, done))
  t.teardown(() => server.close())
  return { socket }
}

t.test('an aggregator that is not there, hangs or talks nonsense keeps no guest from starting', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-bad-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const says = (text: string) => (server: Server) =>
    server.on('connection', socket => socket.on('data', () => socket.end(text)))
  const answer = (status: string, body: string) =>
    says(`HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  const kinds: Record<string, (server: Server) => void> = {
    hangs: server => server.on('connection', () => undefined),
    closes: server => server.on('connection', socket => socket.destroy()),
    'no HTTP': says('hello\n'),
    'no JSON': answer('200 OK', 'hello'),
    'not what was asked': answer('200 OK', '{"claim":"1","chosen":[],"warnings":[]}'),
    'other ports': answer('200 OK', '{"claim":"1","chosen":[[1],[22]],"warnings":[]}'),
    'old one': answer('404 Not Found', '{"code":39}'),
    broken: answer('500 Oops', '{}'),
    'refuses without words': answer('409 Conflict', '[]')
  }
  const baseline = performance.now()
  await started({ socket: join(dir, 'nobody.sock') }, guest(t, 'alone', "<graphics type='vnc' autoport='yes'/>"))
  t.comment(`no aggregator: ${Math.round(performance.now() - baseline)} ms`)
  for (const [what, behave] of Object.entries(kinds)) {
    const bad = await badAggregator(t, dir, behave)
    const begin = performance.now()
    const shim = await started(bad, guest(t, 'alone', "<graphics type='vnc' autoport='yes'/>"))
    t.comment(`${what}: ${Math.round(performance.now() - begin)} ms`)
    const { body } = await shim.call('/v1/report')
    t.equal(body.id, 1, what)
    await shim.call('virDomainDestroy', {})
  }
})

t.test('what is plugged in is claimed before, and given back after', async t => {
  const aggregator = await aggregatorFor(t)
  const [image, other] = ['one.img', 'two.img'].map(name => join(aggregator.dir, name)) as [string, string]
  execFileSync('truncate', ['-s', '1M', image, other])
  const [imageKey, otherKey] = [image, other].map(file => {
    const { dev, ino } = statSync(file)
    return `${dev}:${ino}`
  })
  const controller = "<controller type='scsi' index='0' model='virtio-scsi'/>"
  const drive = "<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>"
  const first = await started(aggregator, guest(t, 'plug-one', controller))
  const second = await started(aggregator, guest(t, 'plug-two', controller + drive))
  const disk = `<disk type='file'><driver name='qemu' type='raw'/><source file='${image}'/><target dev='sda' bus='scsi'/></disk>`
  const medium = drive.replace('<target', `<source file='${image}'/><target`)
  const call = async (shim: Shim, verb: string, xml: string) =>
    (await shim.call(`virDomain${verb}DeviceFlags`, { xml, flags: 1 })).body
  const disksOf = async (name: string) =>
    (await allocationsOf(aggregator, name)).flatMap(({ kind, key }) => (kind === 'disk' ? [key] : []))
  const message = `resource busy: disk '${image}' is in use by domain 't-claims-plug-one'`

  t.same(await call(first, 'Attach', disk), {})
  t.same(await disksOf('plug-one'), [imageKey])
  const before = (await second.call('virDomainGetXMLDesc?flags=0')).body.xml
  t.match(await call(second, 'Attach', disk), { message }, 'a disk that another has')
  t.match(await call(second, 'Update', medium), { message }, 'a medium that another has')
  t.equal((await second.call('virDomainGetXMLDesc?flags=0')).body.xml, before)
  t.same(await disksOf('plug-two'), [])

  // QEMU does not take it: what was claimed is free again
  const broken = disk.replaceAll(image, other).replace("type='raw'", "type='qcow2'").replace("'sda'", "'sdb'")
  t.match(await call(first, 'Attach', broken), { codeName: 'VIR_ERR_INTERNAL_ERROR' })
  t.same(await call(second, 'Attach', disk.replaceAll(image, other)), {})
  t.same(await disksOf('plug-two'), [otherKey])

  t.same(await call(first, 'Detach', disk), {})
  await aggregator.untilSo('it is free', async () => (await disksOf('plug-one')).length === 0)
  t.same(await call(second, 'Update', medium), {})
  await aggregator.untilSo('the medium is reported', async () => (await disksOf('plug-two')).includes(imageKey!))
  t.same(await call(second, 'Update', drive), {})
  await aggregator.untilSo('the medium is free', async () => !(await disksOf('plug-two')).includes(imageKey!))
})

t.test('vCPUs that come are claimed before; memory was at the start', async t => {
  const aggregator = await aggregatorFor(t, '--overcommit', `vcpu=${2 / availableParallelism()}:refuse`)
  const xml = bareGuest('t-claims-grows').replace('<vcpu>', "<vcpu current='1'>").replace('1</vcpu>', '4</vcpu>')
  const shim = new Shim(xml)
  t.teardown(() => shim.end())
  await started(aggregator, shim)
  const amountOf = async (wanted: string) =>
    (await allocationsOf(aggregator, 'grows')).find(({ kind }) => kind === wanted)?.amount
  const vcpus = (nvcpus: number) => shim.call('virDomainSetVcpusFlags', { nvcpus, flags: 1 })
  t.equal((await vcpus(2)).status, 200)
  await aggregator.untilSo('both are reported', async () => (await amountOf('vcpu')) === 2)
  const { status, body } = await vcpus(4)
  t.equal(status, 409)
  t.match(body, { codeName: 'VIR_ERR_RESOURCE_BUSY', message: /vcpu: 2 more beside the 2 in use/ })
  t.match((await shim.call('virDomainGetXMLDesc?flags=0')).body.xml, /<vcpu placement='static' current='2'>4</)
  t.equal(await amountOf('vcpu'), 2)
  const claims = () => readdirSync(join(aggregator.root, 'claims')).length
  const before = claims()
  for (const memory of [32, 64]) {
    t.equal((await shim.call('virDomainSetMemoryFlags', { memory: memory * 1024, flags: 1 })).status, 200)
  }
  t.equal(await amountOf('memory'), 64 * 1024)
  t.equal(claims(), before)
})
