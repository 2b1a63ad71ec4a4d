// Guests as systemd's scopes and systemd-machined's machines, on a real dbus-daemon at a private address. systemd itself
// is a stand-in (test/helper/host-bus.ts): where these tests run it is not the first process. systemd-machined is the
// real one where it is installed, and refusals are a stand-in's.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { terminateMachine } from '../../../../../src/drivers/qemu/process/registration/machined.ts'
import { stopScope } from '../../../../../src/drivers/qemu/process/registration/systemd.ts'
import { callService, namesOnBus } from '../../../../../src/host/bus.ts'
import { fakeSystemd, removeScopes, type Seen, TestBus } from '../../../../helper/host-bus.ts'
import { cgroupsOf, processesNaming } from '../../../../helper/processes.ts'
import { leftovers } from '../../../../helper/refusal.ts'
import { bareGuest, Shim } from '../../../../helper/shim.ts'

const MACHINED = '/lib/systemd/systemd-machined'
const RUNNING = 1
const FAILED = 1
const USAGE = 2
t.setTimeout(120_000)

const skip =
  (process.getuid?.() !== 0 && 'takes root') ||
  (spawnSync('dbus-daemon', ['--version']).status !== 0 && 'needs dbus-daemon') ||
  (existsSync('/run/systemd/system') && 'would be mixed up with this host’s own systemd')

t.afterEach(() => {
  delete process.env.DBUS_SYSTEM_BUS_ADDRESS
})

function host(t: Test): TestBus {
  const bus = new TestBus()
  t.teardown(() => {
    bus.end()
    removeScopes()
  })
  process.env.DBUS_SYSTEM_BUS_ADDRESS = bus.address
  return bus
}

async function realMachined(t: Test, bus: TestBus): Promise<ChildProcess> {
  const child = spawn(MACHINED, { env: { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: bus.address }, stdio: 'ignore' })
  t.teardown(() => child.kill())
  for (let i = 0; i < 500 && !(await namesOnBus()).has('org.freedesktop.machine1'); i++) await sleep(10)
  return child
}

const resource = (register: string | undefined) =>
  register === undefined ? '' : `<resource register='${register}'><partition>/t-virshim</partition></resource>`

const guest = (t: Test, name: string, register?: string) => {
  const shim = new Shim(bareGuest(name).replace('<os>', `${resource(register)}<os>`))
  t.teardown(() => shim.end())
  return shim
}

const qemuOf = (shim: Shim) => processesNaming(`path=${shim.root}/qmp.sock`)[0]
const calls = (seen: Seen[], member: string) => seen.filter(one => one.member === member).map(({ args }) => args)
/** Properties of a unit, as they were sent. */
const named = (properties: unknown) => Object.fromEntries(properties as [string, unknown][])

t.test('systemd: a scope of its own, ended with the guest by whichever shim is there then', { skip }, async t => {
  const bus = host(t)
  const { seen, scopes } = await fakeSystemd(bus)
  const name = `t-scope-${process.pid}`
  const shim = guest(t, name, 'systemd')
  let exited = shim.start()
  await shim.untilState(RUNNING)
  const qemu = qemuOf(shim)
  const [[unit, mode, properties] = []] = calls(seen, 'StartTransientUnit')
  t.match(unit, /^machine-qemu\\x2dembed\\x2d[0-9a-f]{8}\\x2d1\\x2dt\\x2dscope\\x2d\d+\.scope$/)
  t.equal(mode, 'fail')
  t.match(named(properties), {
    Slice: 't\\x2dvirshim.slice',
    PIDs: [qemu],
    Delegate: true,
    CPUAccounting: true,
    MemoryAccounting: true,
    IOAccounting: true,
    TasksAccounting: true,
    After: ['libvirtd.service', 'virtqemud.service'],
    Before: ['virt-guest-shutdown.target']
  })
  t.match(readFileSync(`/proc/${qemu}/cgroup`, 'utf8'), `/t-virshim.slice/${unit}`)
  t.same(cgroupsOf(name), [], 'systemd has made its groups, we make none')
  const status = JSON.parse(readFileSync(join(shim.root, 'status.json'), 'utf8'))
  t.equal(status.registration.kind, 'systemd')
  t.ok(status.cgroups.length > 0)
  for (const path of status.cgroups) t.ok(path.endsWith(`/t-virshim.slice/${unit}`), path)

  shim.child?.kill('SIGKILL')
  await exited
  exited = shim.start()
  await shim.untilState(RUNNING)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
  t.same(calls(seen, 'StopUnit'), [[unit, 'replace']])
  t.equal(calls(seen, 'StartTransientUnit').length, 1, 'taking over registers nothing again')
  t.equal(scopes.size, 0)
  t.same(leftovers(shim.root, name), [])
})

t.test('systemd refuses: the start fails, and nothing of another’s is ended', { skip }, async t => {
  const { seen } = await host(t).serve('org.freedesktop.systemd1', () => ({
    error: 'org.freedesktop.systemd1.UnitExists',
    text: 'Unit x.scope already exists.'
  }))
  const name = `t-scope-taken-${process.pid}`
  const shim = guest(t, name, 'systemd')
  t.equal(await shim.start(), FAILED)
  t.match(shim.errors, 'error from service: Unit x.scope already exists.')
  t.same(calls(seen, 'StopUnit'), [])
  t.same(leftovers(shim.root, name), [])
})

t.test('a scope that has ended with its processes is no failure; one that stays is told of', { skip }, async t => {
  for (const there of [false, true]) {
    const bus = host(t)
    const refusal = { error: 'org.freedesktop.systemd1.NoSuchUnit', text: 'Unit x.scope not loaded.' }
    const found = { signature: 'o', body: ['/org/freedesktop/systemd1/unit/x'] }
    const { seen } = await bus.serve('org.freedesktop.systemd1', ({ member }) =>
      member === 'GetUnit' && there ? found : refusal
    )
    const ended = stopScope('x')
    if (there) await t.rejects(ended, { code: 'VIR_ERR_DBUS_SERVICE', message: /Unit x.scope not loaded/ })
    else await t.resolves(ended)
    t.same(
      seen.map(({ member }) => member),
      ['StopUnit', 'GetUnit']
    )
    bus.end()
  }
})

t.test('a machine that is gone already is no failure; one that stays is told of', { skip }, async t => {
  for (const there of [false, true]) {
    const bus = host(t)
    const refusal = { error: 'org.freedesktop.machine1.NoSuchMachine', text: "No machine 'x' known" }
    const found = { signature: 'o', body: ['/org/freedesktop/machine1/machine/x'] }
    await bus.serve('org.freedesktop.machine1', ({ member }) => (member === 'GetMachine' && there ? found : refusal))
    const ended = terminateMachine('x')
    if (there) await t.rejects(ended, { code: 'VIR_ERR_DBUS_SERVICE', message: /No machine 'x' known/ })
    else await t.resolves(ended)
    bus.end()
  }
})

t.test('systemd’s job fails', { skip }, async t => {
  await fakeSystemd(host(t), 'failed')
  const name = `t-scope-failed-${process.pid}`
  const shim = guest(t, name, 'systemd')
  t.equal(await shim.start(), FAILED)
  t.match(shim.errors, /systemd could not start 'machine-.*\.scope': failed/)
  t.same(leftovers(shim.root, name), [])
})

t.test('a service that does not answer is waited for with a limit', { skip }, async t => {
  await host(t).serve('org.freedesktop.systemd1', () => undefined)
  const name = `t-scope-silent-${process.pid}`
  const shim = guest(t, name, 'systemd')
  t.equal(await shim.start(), FAILED)
  t.match(shim.errors, /no answer from org.freedesktop.systemd1.Manager.StartTransientUnit in \d+ ms/)
  t.same(leftovers(shim.root, name), [])
})

for (const register of ['machined', 'systemd']) {
  t.test(`${register} on a host without`, { skip }, async t => {
    const bus = host(t)
    await bus.ready
    const name = `t-no-${register}-${process.pid}`
    const shim = guest(t, name, register)
    t.equal(await shim.start(), USAGE)
    t.match(shim.errors, `resource registration '${register}' is not available: 'org.freedesktop.`)
    bus.end()
    const without = guest(t, name, register)
    t.equal(await without.start(), USAGE, 'no bus at all')
    t.match(without.errors, `resource registration '${register}' is not available`)
    t.same(leftovers(without.root, name), [])
  })
}

const noMachined = skip || (!existsSync(MACHINED) && `needs ${MACHINED}`)

t.test('machined: a machine of the real systemd-machined’s', { skip: noMachined }, async t => {
  const bus = host(t)
  const { seen, scopes } = await fakeSystemd(bus)
  await realMachined(t, bus)
  const name = `t-machine-${process.pid}`
  const shim = guest(t, name, 'machined')
  const exited = shim.start()
  await shim.untilState(RUNNING)
  const qemu = qemuOf(shim)
  const { machine, kind } = JSON.parse(readFileSync(join(shim.root, 'status.json'), 'utf8')).registration
  t.equal(kind, 'machined')
  const manager = { service: 'org.freedesktop.machine1', path: '/org/freedesktop/machine1' }
  const call = { ...manager, interface: 'org.freedesktop.machine1.Manager' }
  const [path] = await callService({ ...call, member: 'GetMachine', signature: 's', args: [machine] })
  const [all] = await callService({
    service: manager.service,
    path: path as string,
    interface: 'org.freedesktop.DBus.Properties',
    member: 'GetAll',
    signature: 's',
    args: ['org.freedesktop.machine1.Machine']
  })
  const known = Object.fromEntries(
    Object.entries(all as Record<string, { data: unknown }>).map(([name, { data }]) => [name, data])
  )
  const uuid = /<uuid>([^<]*)/.exec((await shim.call('virDomainGetXMLDesc')).body.xml)?.[1] ?? ''
  t.match(known, { Name: machine, Service: 'libvirt-qemu', Class: 'vm', Leader: qemu, RootDirectory: '' })
  t.equal(Buffer.from(known.Id as number[]).toString('hex'), uuid.replaceAll('-', ''))
  const [[unit, , properties] = []] = calls(seen, 'StartTransientUnit')
  t.match(named(properties), {
    Slice: 't\\x2dvirshim.slice',
    PIDs: [qemu],
    Delegate: true,
    Before: ['virt-guest-shutdown.target']
  })
  t.match(readFileSync(`/proc/${qemu}/cgroup`, 'utf8'), `/t-virshim.slice/${unit}`)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
  t.same(calls(seen, 'StopUnit')[0]?.[0], unit)
  const machines = async () => {
    const [all] = await callService({ ...call, member: 'ListMachines', signature: '', args: [] })
    return (all as [string][]).map(([name]) => name)
  }
  for (let i = 0; i < 500 && (await machines()).includes(machine); i++) await sleep(10)
  t.notOk((await machines()).includes(machine), 'it is no machine any more')
  t.equal(scopes.size, 0)
  t.same(leftovers(shim.root, name), [])
})

t.test('machined refuses, as libvirt’s users see it', { skip }, async t => {
  const bus = host(t)
  await fakeSystemd(bus)
  const { seen } = await bus.serve('org.freedesktop.machine1', () => ({
    error: 'org.freedesktop.machine1.MachineExists',
    text: "Machine 'x' already exists"
  }))
  const name = `t-machine-taken-${process.pid}`
  const shim = guest(t, name, 'machined')
  t.equal(await shim.start(), FAILED)
  t.match(shim.errors, "error from service: Machine 'x' already exists")
  const [[machine, id, service, kind, leader, root, interfaces, properties] = []] = calls(
    seen,
    'CreateMachineWithNetwork'
  )
  t.match(
    { machine, service, kind, root, interfaces },
    { service: 'libvirt-qemu', kind: 'vm', root: '', interfaces: [] }
  )
  t.equal((id as Uint8Array).length, 16)
  t.type(leader, 'number')
  t.match(named(properties), { Slice: 't\\x2dvirshim.slice' })
  t.same(calls(seen, 'TerminateMachine'), [], 'the machine of that name is somebody else’s')
  t.same(leftovers(shim.root, name), [])
})

t.test('a machined that gives a guest no groups', { skip }, async t => {
  const bus = host(t)
  await fakeSystemd(bus)
  const { seen } = await bus.serve('org.freedesktop.machine1', () => ({
    signature: 'o',
    body: ['/org/freedesktop/machine1/machine/x']
  }))
  const name = `t-machine-no-groups-${process.pid}`
  const shim = new Shim(bareGuest(name).replace('<os>', "<resource register='machined'/><os>"))
  t.teardown(() => shim.end())
  const exited = shim.start()
  await shim.untilState(RUNNING)
  t.equal(calls(seen, 'CreateMachineWithNetwork').length, 1)
  t.ok(cgroupsOf(name).length > 0, 'it gave the guest no groups, so we do')
  shim.child?.kill('SIGKILL')
  await exited
  const again = shim.start()
  await shim.untilState(RUNNING)
  await shim.call('virDomainDestroy', {})
  t.equal(await again, 0)
  t.equal(calls(seen, 'TerminateMachine').length, 1)
  t.same(leftovers(shim.root, name), [])
})

t.test('without a word in the definition the best the host has', { skip }, async t => {
  for (const best of ['org.freedesktop.machine1', 'org.freedesktop.systemd1', undefined]) {
    const bus = host(t)
    await bus.ready
    if (best) await fakeSystemd(bus)
    const machined = best?.endsWith('machine1') && (await bus.serve(best, () => ({})))
    const name = `t-best-${process.pid}`
    const shim = guest(t, name)
    const exited = shim.start()
    await shim.untilState(RUNNING)
    const { registration } = JSON.parse(readFileSync(join(shim.root, 'status.json'), 'utf8'))
    t.equal(registration?.kind, machined ? 'machined' : best && 'systemd')
    if (!best) t.ok(cgroupsOf(name).length > 0)
    await shim.call('virDomainDestroy', {})
    t.equal(await exited, 0)
    t.same(leftovers(shim.root, name), [])
    bus.end()
    removeScopes()
  }
})
