// status.json: what is kept of a run, by one table; older files are read.
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadDomain } from '../../../../src/drivers/qemu/definition/passes.ts'
import { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import { Run } from '../../../../src/drivers/qemu/domain/run.ts'
import { loadStatus, readStatus, STATUS, type Status, saveStatus } from '../../../../src/drivers/qemu/domain/status.ts'
import { guestRoot } from '../../../../src/state/root.ts'
import { errorOf, testContext } from '../../../helper/definition.ts'
import { bareGuest, Shim } from '../../../helper/shim.ts'

/** Written by virshim 0.1.0 for a paused guest, before nodeIndex, fdsetIndex and what came after them were kept. */
const OLDER = 'test/data/status/0.1.0.json'
const PAUSED = 3

const log = { debug() {}, info() {}, warn() {}, error() {} }

async function guest(dir: string, xml = bareGuest('t-status')) {
  const contextFor = async () => testContext()
  const { def, context } = await loadDomain(xml, contextFor)
  const domain = new QemuDomain({ root: guestRoot(dir), def, context, contextFor, log })
  const run = new Run(context, { user: 'nobody' })
  domain.run = run
  return { domain, run }
}

const parsed = (file: string) => JSON.parse(readFileSync(file, 'utf8'))

t.test('what is saved is loaded', async t => {
  const dir = t.testdir({})
  const { domain, run } = await guest(dir)
  Object.assign(run, {
    phase: 'running',
    process: { pid: 7, startTime: '99' },
    cgroups: ['/sys/fs/cgroup/cpu/machine/qemu-7-t-status.virshim'],
    registration: { kind: 'machined', machine: 'qemu-1-t-status' },
    originalCpu: '<cpu/>',
    deprecations: ["machine type 'pc-0.1'"],
    paused: true,
    autoDestroy: true,
    fakeReboot: true,
    nodeIndex: 4,
    fdsetIndex: 2
  })
  run.taints.add('custom-argv')
  domain.id = 12
  saveStatus(domain, run)
  const status = (await readStatus(domain.root.status))!
  const next = await guest(dir)
  loadStatus(status, next.run, next.domain)
  for (const name of Object.keys(STATUS) as (keyof Status)[]) {
    if (name in run) t.same(next.run[name as keyof Run], run[name as keyof Run], name)
  }
  t.equal(next.domain.id, 12)
  t.same([status.user, status.group], ['nobody', undefined])
  t.equal((await loadDomain(status.xml, async () => testContext())).def.uuid, domain.uuid)
})

t.test('nothing is written before there is something to find again', async t => {
  const { domain, run } = await guest(t.testdir({}))
  domain.save()
  t.equal(await readStatus(domain.root.status), undefined)
  run.phase = 'starting'
  domain.save()
  t.equal((await readStatus(domain.root.status))?.phase, 'starting')
})

t.test('what is there already is not written again', async t => {
  const { domain, run } = await guest(t.testdir({}))
  run.phase = 'running'
  const { root } = domain
  const written = () => statSync(root.status).ino
  domain.changed()
  const [first, { generation }] = [written(), domain]
  domain.settled()
  t.same([written(), domain.generation], [first, generation], 'nothing has come to it')
  run.fdsetIndex++
  domain.settled()
  t.not(written(), first)
  t.equal(domain.generation, generation + 1)
  t.equal((await readStatus(root.status))?.fdsetIndex, 1)
  domain.change({ live: true }, def => ({ ...def, title: 'changed' }))
  t.equal(domain.generation, generation + 2, 'a change is one')
  t.equal((await readStatus(root.status))?.generation, domain.generation)
})

t.test('files of another form', async t => {
  const dir = t.testdir({})
  const file = join(dir, 'status.json')
  const older = parsed(OLDER)
  const cases: [text: string, error: string][] = [
    ['{', `VIR_ERR_INTERNAL_ERROR: internal error: '${file}' is not JSON`],
    ['[]', `VIR_ERR_INTERNAL_ERROR: internal error: '${file}' is not of form 1: status must be object`],
    [JSON.stringify({ ...older, version: 2 }), 'status/version must be equal to constant'],
    [JSON.stringify({ ...older, phase: 'asleep' }), 'status/phase must be equal to one of the allowed values'],
    [JSON.stringify({ ...older, process: { pid: 1 } }), "status/process must have required property 'startTime'"],
    [JSON.stringify({ ...older, cgroups: 'all' }), 'status/cgroups must be array'],
    [JSON.stringify({ ...older, xml: undefined }), "status must have required property 'xml'"]
  ]
  for (const [text, error] of cases) {
    writeFileSync(file, text)
    t.match(await errorOf(() => readStatus(file)), error)
  }
})

t.test('a file of an older version is read', async t => {
  const status = (await readStatus(OLDER))!
  const { domain, run } = await guest(t.testdir({}))
  loadStatus(status, run, domain)
  t.equal(domain.id, status.id)
  t.match(run, {
    phase: 'running',
    process: status.process,
    paused: true,
    autoDestroy: false,
    fakeReboot: false,
    cgroups: status.cgroups,
    originalCpu: status.originalCpu,
    deprecations: [],
    nodeIndex: 0,
    fdsetIndex: 0
  })
  t.same([...run.taints], ['custom-hypervisor-feature'])
})

t.test('a real guest with a status of an older version is taken over', async t => {
  const shim = new Shim(
    bareGuest('t-older-status')
      .replace("<domain type='qemu'>", "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>")
      .replace('</domain>', "<qemu:capabilities><qemu:del capability='rng-egd'/></qemu:capabilities></domain>")
  )
  t.teardown(() => shim.end())
  let exited = shim.start('--paused')
  await shim.untilState(PAUSED)
  const before = await shim.call('virDomainGetXMLDesc')
  shim.child?.kill('SIGKILL')
  await exited
  const file = join(shim.root, 'status.json')
  const known = Object.keys(parsed(OLDER))
  writeFileSync(
    file,
    JSON.stringify(Object.fromEntries(Object.entries(parsed(file)).filter(([key]) => known.includes(key))))
  )
  exited = shim.start()
  await shim.untilState(PAUSED)
  t.same(await shim.call('virDomainGetXMLDesc'), before)
  t.match((await shim.call('virDomainGetMessages')).body.msgs, ['tainted: hypervisor feature autodetection override'])
  t.equal((await shim.call('virDomainResume', {})).status, 200)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})
