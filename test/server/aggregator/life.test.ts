// The life of guests at the aggregator: define, create, start, undefine, shims on demand, autostart.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { AggregatorRun, filesOf } from '../../helper/aggregator.ts'
import { processesNaming } from '../../helper/processes.ts'
import { bareGuest } from '../../helper/shim.ts'

t.setTimeout(240_000)
// they mostly wait, each for a host of its own
t.jobs = 4

const RUNNING = 1
const PAUSED = 3
const SHUTOFF = 5
const UUID = 'c1f7f8a2-6f0e-4b7e-8f57-0d9be3a1c001'

const withUuid = (name: string, uuid = UUID) => bareGuest(name).replace('<memory', `<uuid>${uuid}</uuid><memory`)

/** An aggregator for one test. */
async function running(t: Test, ...options: string[]): Promise<AggregatorRun> {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start(...options)
  return aggregator
}

t.test('from define to undefine', async t => {
  const aggregator = await running(t)
  const name = 'life-define'
  const { dom } = (await aggregator.call('virDomainDefineXML', { xml: bareGuest(name) })).body
  t.match(dom, { name, uuid: String, id: -1 })
  t.match((await aggregator.call('virConnectListAllDomains', {})).body, { domains: [dom] })
  const on = (api: string, args: object = {}) => aggregator.call(`domains/${name}/${api}`, args)
  t.match((await on('virDomainCreateWithFlags', { flags: ['VIR_DOMAIN_START_PAUSED'] })).body, {})
  t.match((await on('virDomainGetState')).body, { state: PAUSED })
  t.match((await on('virDomainDestroy')).body, {})
  t.match((await on('virDomainGetState')).body, { state: SHUTOFF, reason: 2 })
  t.match((await on('virDomainUndefine')).body, {})
  await aggregator.until(name, entry => entry === undefined)
  t.match(await on('virDomainGetInfo'), { status: 404, body: { code: 42 } })
  // its shim takes its sockets away as it ends, when the guest is known no more
  await aggregator.untilSo('nothing is left', async () => filesOf(aggregator.guest(name)).length === 0)
})

t.test('create, and create from what is kept', async t => {
  const aggregator = await running(t)
  const name = 'life-create'
  const created = await aggregator.call('virDomainCreateXML', { xmlDesc: withUuid(name), flags: 1 })
  t.match(created.body, { dom: { name, uuid: UUID } })
  t.not(created.body.dom.id, -1)
  t.match(await aggregator.entry(name), { state: PAUSED, persistent: false })
  const again = await aggregator.call('virDomainCreateXML', { xmlDesc: withUuid(name) })
  t.match(again.body, { code: 55, message: /domain 'life-create' is already active/ })
  await aggregator.call('virDomainDefineXML', { xml: withUuid(name) })
  t.match((await aggregator.call(`domains/${name}/virDomainIsPersistent`)).body, { persistent: 1 })
  await aggregator.call(`domains/${name}/virDomainDestroy`, {})
  const bigger = withUuid(name).replace('>64<', '>80<')
  t.match((await aggregator.call('virDomainCreateXML', { xmlDesc: bigger })).body, { dom: { name, uuid: UUID } })
  t.match((await aggregator.call(`domains/${name}/virDomainGetMaxMemory`)).body, { memory: 80 * 1024 })
  await aggregator.call(`domains/${name}/virDomainDestroy`, {})
  t.match((await aggregator.call(`domains/${name}/virDomainGetMaxMemory`)).body, { memory: 64 * 1024 })
})

t.test("names and uuids belong to one guest, with libvirt's errors", async t => {
  const aggregator = await running(t)
  await aggregator.call('virDomainDefineXML', { xml: withUuid('life-one') })
  const define = (xml: string) => aggregator.call('virDomainDefineXML', { xml })
  const cases: [string, number, RegExp][] = [
    [bareGuest('life-one'), 9, /domain 'life-one' already exists with uuid c1f7/],
    [withUuid('life-two'), 9, /domain 'life-one' is already defined with uuid c1f7/],
    [bareGuest('a/b'), 27, /name a\/b cannot contain '\/'/],
    [bareGuest('..').replace('..', '../x'), 27, /cannot contain '\/'/],
    [bareGuest('two\nlines'), 35, /invalid char in name/],
    [bareGuest('x').replace('<name>x</name>', ''), 21, /missing name/],
    [bareGuest('x').replace("type='qemu'", "type='nope'"), 67, /invalid domain type nope/],
    ['<domain', 35, /^at line 1: /],
    ["<network type='qemu'/>", 27, /expecting root element of 'domain'/]
  ]
  for (const [xml, code, message] of cases) t.match((await define(xml)).body, { code, message })
  t.same(readdirSync(join(aggregator.root, 'guests')), ['life-one'], 'refused, they leave nothing')
  t.match(await aggregator.call('virDomainDefineXML', { xml: withUuid('life-one') }, 'api-ro.sock'), {
    status: 403,
    body: { code: 29 }
  })
})

t.test('a guest whose definition QEMU refuses is not kept half', async t => {
  const aggregator = await running(t)
  const xmlDesc = bareGuest('life-refused', "<disk type='file'><source file='/nowhere'/><target dev='hda'/></disk>")
  const answer = await aggregator.call('virDomainCreateXML', { xmlDesc })
  t.match(answer.body, { code: 38, message: /\/nowhere/ })
  t.same(filesOf(aggregator.guest('life-refused')), [])
  t.equal(await aggregator.entry('life-refused'), undefined)
})

t.test('many define the same guest at once', async t => {
  const aggregator = await running(t)
  const same = await Promise.all(
    Array.from({ length: 8 }, () => aggregator.call('virDomainDefineXML', { xml: withUuid('life-same') }))
  )
  t.same(
    same.map(({ status }) => status),
    Array(8).fill(200)
  )
  const rivals = await Promise.all(
    Array.from({ length: 8 }, () => aggregator.call('virDomainCreateXML', { xmlDesc: bareGuest('life-rival') }))
  )
  t.equal(rivals.filter(({ status }) => status === 200).length, 1)
  t.equal(processesNaming(`path=${aggregator.guest('life-rival')}/qmp.sock`).length, 1)
})

t.test('names that no directory can have', async t => {
  const aggregator = await running(t)
  for (const name of ['.', '..', '.hidden', 'x'.repeat(200), 'ü und "so"']) {
    const { body } = await aggregator.call('virDomainDefineXML', { xml: withUuid(name).replace(UUID, '') })
    t.match(body, { dom: { name } })
    t.match((await aggregator.call(`domains/${body.dom.uuid}/virDomainGetXMLDesc`)).body, { xml: /<name>/ })
  }
  t.equal((await aggregator.call('virConnectListAllDomains', {})).body.domains.length, 5)
})

t.test('a name given up can be taken again', async t => {
  const aggregator = await running(t, '--idle-timeout', '1')
  const [first, second] = ['life-old', 'life-new']
  await aggregator.call('virDomainDefineXML', { xml: withUuid(first) })
  t.match((await aggregator.call(`domains/${first}/virDomainRename`, { new_name: second })).body, {})
  await aggregator.until(second, entry => entry !== undefined)
  t.match((await aggregator.call('virDomainDefineXML', { xml: bareGuest(first) })).body, { dom: { name: first } })
  await aggregator.until(second, entry => entry?.socket === undefined)
  t.equal((await aggregator.call(`domains/${UUID}/virDomainGetName`)).body.name, second)
  t.match((await aggregator.call(`domains/${second}/virDomainRename`, { new_name: first })).body, {
    code: 55,
    message: /domain with name 'life-old' already exists/
  })
})

t.test('shims of guests that are shut off come when asked for and go when not', async t => {
  const aggregator = await running(t, '--idle-timeout', '1')
  const name = 'life-demand'
  const shims = () => processesNaming(aggregator.guest(name))
  await aggregator.call('virDomainDefineXML', { xml: bareGuest(name) })
  await aggregator.until(name, entry => entry?.socket === undefined)
  for (let i = 0; i < 200 && shims().length > 0; i++) await sleep(20)
  t.same(shims(), [], 'nobody asked')
  t.match((await aggregator.call(`domains/${name}/virDomainGetState`)).body, { state: SHUTOFF })
  t.same(shims(), [], 'its report is enough')
  const calls = Array.from({ length: 10 }, () => aggregator.call(`domains/${name}/virDomainGetXMLDesc?flags=2`))
  for (const { status } of await Promise.all(calls)) t.equal(status, 200)
  t.equal(shims().length, 1, 'one shim answers all')
  // calls at the very moments it wants to end
  let last = Date.now()
  for (let i = 0; i < 12; i++) {
    await sleep(1000 + i * 15 - Math.max(0, Date.now() - last - 1000))
    last = Date.now()
    const { status } = await aggregator.call(`domains/${name}/virDomainGetVcpusFlags?flags=4`)
    t.equal(status, 200, `call ${i}`)
  }
  t.match((await aggregator.call(`domains/${name}/virDomainCreate`, {})).body, {})
  await sleep(2500)
  t.equal((await aggregator.entry(name)).state, RUNNING, 'a running guest keeps its shim')
})

t.test('ending the aggregator touches no guest', async t => {
  const aggregator = await running(t)
  await aggregator.call('virDomainCreateXML', { xmlDesc: bareGuest('life-stay') })
  const before = await aggregator.entry('life-stay')
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await aggregator.kill(signal)
    await aggregator.start()
    t.same((await aggregator.entry('life-stay')).pids, before.pids, signal)
  }
  const other = new AggregatorRun()
  t.teardown(() => other.end())
  await t.rejects(other.start('--root', aggregator.root), /in use by another virshim-aggregatord/)
})

t.test('autostart, once a boot', async t => {
  const aggregator = await running(t)
  for (const name of ['life-auto', 'life-once', 'life-manual'])
    await aggregator.call('virDomainDefineXML', { xml: bareGuest(name) })
  await aggregator.call('domains/life-auto/virDomainSetAutostart', { autostart: 1 })
  await aggregator.call('domains/life-once/virDomainSetAutostartOnce', { autostart: 1 })
  t.match(await aggregator.until('life-auto', entry => entry.autostart), { state: SHUTOFF })
  await aggregator.kill()
  await aggregator.start()
  await sleep(500)
  for (const name of ['life-auto', 'life-once'])
    t.equal((await aggregator.entry(name)).state, SHUTOFF, 'this boot has had its autostart')
  await aggregator.kill()
  for (const pid of processesNaming(aggregator.guest('life-'))) process.kill(pid, 'SIGTERM')
  writeFileSync(join(aggregator.root, 'autostarted'), 'another boot')
  await aggregator.start()
  for (const name of ['life-auto', 'life-once']) await aggregator.until(name, entry => entry?.state === RUNNING)
  t.equal((await aggregator.entry('life-manual')).state, SHUTOFF)
  await aggregator.call('domains/life-auto/virDomainDestroy', {})
  t.match(await aggregator.until('life-auto', entry => entry?.state === SHUTOFF), { persistent: true })
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  for (let i = 0; i < 100 && readFileSync(join(aggregator.root, 'autostarted'), 'utf8') !== boot; i++) await sleep(20)
  t.equal(readFileSync(join(aggregator.root, 'autostarted'), 'utf8'), boot)
  t.match(await aggregator.call('domains/life-once/virDomainGetAutostartOnce', {}), { body: { autostart: 0 } }, 'once')
})

t.test('definitions that cannot be read hold nothing up', async t => {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  for (const [name, text] of [
    ['life-broken', '<domain'],
    ['life-good', withUuid('life-good')]
  ] as const) {
    mkdirSync(aggregator.guest(name), { recursive: true })
    writeFileSync(join(aggregator.guest(name), 'domain.xml'), text)
  }
  await aggregator.start()
  t.match(await aggregator.until('life-good', entry => entry !== undefined), { state: SHUTOFF })
  t.notOk(existsSync(join(aggregator.guest('life-broken'), 'api.sock')))
})
