// A device that a running guest has given up: what it had of QEMU, of the host and of the aggregator's ledger goes with it.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { formatDevice, parseDevice } from '../../../../src/conf/device-xml.ts'
import type { DiskDef } from '../../../../src/conf/devices/disk.ts'
import { prepareStart } from '../../../../src/drivers/qemu/definition/passes.ts'
import { virtiofsSocket } from '../../../../src/drivers/qemu/device/filesystem/virtiofsd.ts'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import { handleQmpEvent } from '../../../../src/drivers/qemu/events/index.ts'
import { usedBy } from '../../../../src/state/allocation.ts'
import { EventLog } from '../../../../src/state/events.ts'
import { Jobs } from '../../../../src/state/job.ts'
import { define, type GuestOptions, testContext } from '../../../helper/definition.ts'
import { hostGuest, takeDevices } from '../../../helper/host-guest.ts'

const ip = (...args: string[]) => spawnSync('ip', args, { encoding: 'utf8' })
const noTaps =
  !(process.getuid?.() === 0 && existsSync('/dev/net/tun') && ip('-V').status === 0) &&
  'making network devices needs root and ip(8)'

/**
 * A guest that runs, as far as its devices go; QEMU takes every command.
 * @param programs files of its directory that can be run
 * @param facts what QEMU answers to questions
 */
async function running(
  t: Test,
  devices: string,
  {
    programs = {},
    facts = {},
    ...options
  }: GuestOptions & { programs?: Record<string, string>; facts?: Record<string, unknown> } = {}
) {
  // tap's own directories are too deep for a socket
  const dir = mkdtempSync(join(tmpdir(), 'gone-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  for (const [name, text] of Object.entries(programs)) writeFileSync(join(dir, name), text, { mode: 0o755 })
  const context = testContext({ ...options, paths: { ...testContext().paths, libDir: dir } })
  const def = await define(devices.replaceAll('%DIR%', dir), options)
  const host = hostGuest(def, dir, { context: prepareStart(def, context) })
  const events = new EventLog()
  const told: unknown[] = []
  events.listen(({ event, data }) => told.push([event.replace('VIR_DOMAIN_EVENT_ID_', ''), data]))
  const commands: string[] = []
  const qmp = {
    async execute(name: string, args: Record<string, unknown> = {}) {
      if (name in facts) return facts[name]
      commands.push(`${name} ${args.id ?? args['node-name'] ?? args['fdset-id']}`)
    }
  }
  const log = { debug() {}, info() {}, warn: t.fail, error: t.fail }
  let settled = () => {}
  const changed = () => settled()
  const domain = { ...host, log, events, qmp, jobs: new Jobs(), isActive: true, changed } as unknown as QemuDomain
  /** Settles when the device is gone from the definition. */
  const deleted = async (device: string) => {
    const done = new Promise<void>(resolve => {
      settled = resolve
    })
    handleQmpEvent(domain, { event: 'DEVICE_DELETED', data: { device, path: '/x' }, timestampUs: 1 })
    await done
    await domain.jobs.run('modify', { api: 'test' }, () => undefined)
  }
  return { def, host, domain, commands, told, deleted }
}

t.test('a tap device, and what the report says of it', { skip: noTaps }, async t => {
  const card = (mac: string) => `<interface type='ethernet'><mac address='${mac}'/><model type='virtio'/></interface>`
  const { def, host, deleted, commands, told } = await running(t, card('52:54:00:00:00:01') + card('52:54:00:00:00:02'))
  await takeDevices('interfaces', host)
  const [first, second] = def.devices.interfaces.map(({ target }) => target!.dev!) as [string, string]
  t.teardown(() => ip('link', 'delete', second))
  await deleted('net0')
  t.notOk(existsSync(`/sys/class/net/${first}`))
  t.ok(existsSync(`/sys/class/net/${second}`))
  t.same(commands, ['netdev_del hostnet0'])
  t.same(told, [['DEVICE_REMOVED', { devAlias: 'net0' }]])
  const keys = usedBy(def).flatMap(({ kind, key }) => (kind === 'tap' || kind === 'mac' ? [key] : []))
  t.same(keys, ['52:54:00:00:00:02', second])
})

t.test('the program that serves a directory', async t => {
  // tells what it can do, or makes its socket, as virtiofsd does, and stays
  const virtiofsd = `#!${process.execPath}
    const [, , option] = process.argv
    if (option === '--print-capabilities') console.log('{"type":"fs"}')
    else require('node:net').createServer().listen(option.replace('--socket-path=', ''))`
  const { def, host, deleted, commands } = await running(
    t,
    `<filesystem type='mount'><driver type='virtiofs'/><binary path='%DIR%/virtiofsd'/><source dir='%DIR%'/><target dir='t'/></filesystem>`,
    { outside: "<memoryBacking><access mode='shared'/></memoryBacking>", programs: { virtiofsd } }
  )
  await takeDevices('filesystems', host)
  const socket = virtiofsSocket(def.devices.filesystems[0]!, host.context.paths)
  const { pid } = JSON.parse(readFileSync(socket.replace('.sock', '.pid'), 'utf8')) as { pid: number }
  t.ok(existsSync(`/proc/${pid}`))
  await deleted('fs0')
  t.notOk(existsSync(socket))
  t.notOk(existsSync(`/proc/${pid}/exe`), 'it has ended')
  t.same(commands, ['chardev-remove chr-vu-fs0'])
  t.same(def.devices.filesystems, [])
})

t.test('an image and its nodes, the top first', async t => {
  const { def, deleted, commands } = await running(
    t,
    "<disk><driver name='qemu' type='raw' copy_on_read='on'/><source file='%DIR%/image'/><target dev='vda' bus='virtio'/></disk>",
    { missing: ['blockjob.backing-mask-protocol'] }
  )
  t.ok(usedBy(def).some(({ kind }) => kind === 'disk'))
  await deleted('virtio-disk0')
  const nodes = ['libvirt-CoR-vda', 'libvirt-1-format', 'libvirt-1-storage']
  t.same(
    commands,
    nodes.map(node => `blockdev-del ${node}`)
  )
  t.notOk(usedBy(def).some(({ kind }) => kind === 'disk'))
})

t.test("an image in a client's files, which the next shim knows as such", async t => {
  const { def, deleted, commands } = await running(
    t,
    "<disk><driver name='qemu' type='raw'/><source file='/nowhere'/><target dev='vda' bus='virtio'/></disk>",
    { facts: { 'query-fdsets': [{ 'fdset-id': 7, fds: [{ fd: 1, opaque: 'libvirt-1-storage0' }] }] } }
  )
  Object.assign(def.devices.disks[0]!.source, { fdgroup: 'images', handed: { count: 1, writable: true } })
  const saved = formatDevice(['disks', def.devices.disks[0]!], { inactive: false, status: true })
  const [, again] = parseDevice(saved, false, true) as ['disks', DiskDef]
  t.same(again.source.handed, { count: 1, writable: true })
  t.notMatch(formatDevice(['disks', again], { inactive: false }), /files=|writable=/)
  def.devices.disks = [again]
  await deleted('virtio-disk0')
  t.same(commands, ['blockdev-del libvirt-1-format', 'blockdev-del libvirt-1-storage', 'remove-fd 7'])
})

t.test('memory is given back', async t => {
  const { def, deleted, commands } = await running(
    t,
    "<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target></memory>",
    {
      facts: { 'query-balloon': { actual: 64 * 1024 * 1024 }, 'query-memory-devices': [] },
      outside:
        "<maxMemory slots='2' unit='GiB'>1</maxMemory><cpu><numa><cell id='0' cpus='0' memory='64' unit='MiB'/></numa></cpu>"
    }
  )
  const memory = () => usedBy(def).find(({ kind }) => kind === 'memory')?.amount
  const before = memory()!
  await deleted('dimm0')
  t.same(commands, ['object-del memdimm0'])
  t.equal(memory(), before - 128 * 1024)
  t.equal(def.currentMemoryKiB, 64 * 1024, 'the balloon is what is left')
})

t.test('a serial port goes with the console that is the same', async t => {
  const { def, deleted } = await running(
    t,
    "<serial type='pty'><target type='usb-serial'/></serial><console type='pty'/>"
  )
  await deleted(def.devices.serials[0]!.alias!)
  t.same([def.devices.serials, def.devices.consoles], [[], []])
})

t.test('what is no device that can leave stays, whatever QEMU calls it', async t => {
  const { def, domain, commands, told } = await running(
    t,
    `<graphics type='vnc'><alias name='ua-vnc'/></graphics><audio id='1' type='none'/><sound model='ich6'><alias name='ua-sound'/></sound>
    <video><model type='vga'/><alias name='ua-video'/></video><redirfilter><usbdev allow='no'/></redirfilter>`
  )
  const before = structuredClone(def)
  for (const device of ['ua-vnc', 'audio1', 'ua-sound', 'ua-video', 'nosuch', 'undefined', '']) {
    handleQmpEvent(domain, { event: 'DEVICE_DELETED', data: { device, path: '/x' }, timestampUs: 1 })
  }
  await domain.jobs.run('modify', { api: 'test' }, () => undefined)
  t.same(def, before)
  t.same([commands, told], [[], []])
})
