// The devices of each family that can be plugged, told to a real QEMU through the same row a start reads: QEMU shows
// them, and none of their parts once they are taken back.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type AnyDevice, type DeviceKind, noDevices } from '../../../../src/conf/devices/index.ts'
import { formatJson } from '../../../../src/conf/json.ts'
import { Command } from '../../../../src/drivers/qemu/command/command.ts'
import { loadDomain, prepareStart } from '../../../../src/drivers/qemu/definition/passes.ts'
import { qemuFamily } from '../../../../src/drivers/qemu/device/index.ts'
import { Plug } from '../../../../src/drivers/qemu/hotplug/plug.ts'
import type { QmpMonitor } from '../../../../src/drivers/qemu/monitor/qmp.ts'
import { chardevArg } from '../../../../src/drivers/qemu/parts/chardev.ts'
import { errorOf, testContext } from '../../../helper/definition.ts'
import { type PausedQemu, pausedQemu } from '../../../helper/paused-qemu.ts'

t.setTimeout(240_000)

const canMakeTaps = process.getuid?.() === 0 && existsSync('/dev/net/tun') && spawnSync('ip', ['-V']).status === 0
const hasVirtiofsd = process.getuid?.() === 0 && existsSync('/usr/lib/qemu/virtiofsd')

/** A device of each family, and what of it QEMU is asked for: parts by their names, beside the device itself. */
interface Case {
  kind: DeviceKind
  xml: string
  /** its parts in QEMU: objects, character devices, block nodes, network backends */
  parts?: { objects?: string[]; chardevs?: string[]; nodes?: string[]; netdevs?: string[] }
  skip?: string | false
  /** a paused guest cannot give it up */
  stays?: true
}

const CASES: Case[] = [
  {
    kind: 'controllers',
    xml: "<controller type='scsi' index='1' model='virtio-scsi'><alias name='ua-scsi'/></controller>"
  },
  {
    kind: 'disks',
    xml: `<disk type='file' device='disk'><driver name='qemu' type='qcow2' copy_on_read='on' discard='unmap'/>
      <source file='%DIR%/disk.qcow2'/><target dev='vda' bus='virtio'/><alias name='ua-vda'/></disk>`,
    parts: { nodes: ['libvirt-CoR-vda', 'libvirt-2-format', 'libvirt-2-storage'] }
  },
  {
    kind: 'disks',
    xml: `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='%DIR%/disk.raw'/>
      <target dev='sda' bus='scsi'/><readonly/><alias name='ua-sda'/></disk>`,
    parts: { nodes: ['libvirt-1-format', 'libvirt-1-storage'] }
  },
  {
    kind: 'interfaces',
    xml: "<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/><alias name='ua-user'/></interface>",
    parts: { netdevs: ['hostua-user'] }
  },
  {
    kind: 'interfaces',
    xml: `<interface type='ethernet'><mac address='52:54:00:00:00:02'/><model type='virtio'/><alias name='ua-tap'/></interface>`,
    parts: { netdevs: ['hostua-tap'] },
    skip: !canMakeTaps && 'making network devices needs root and ip(8)'
  },
  {
    kind: 'interfaces',
    xml: `<interface type='vhostuser'><mac address='52:54:00:00:00:03'/><source type='unix' path='%DIR%/switch.sock' mode='server'/>
      <model type='virtio'/><alias name='ua-switch'/></interface>`,
    skip: 'its device waits for a switch'
  },
  {
    kind: 'hostdevs',
    xml: `<hostdev mode='subsystem' type='usb'><source startupPolicy='optional'><vendor id='0xdead'/><product id='0xbeef'/></source><alias name='ua-usb'/></hostdev>`,
    skip: !existsSync('/sys/bus/usb/devices') && 'the host has no USB'
  },
  {
    kind: 'serials',
    xml: "<serial type='pty'><target type='usb-serial' port='1'/><alias name='ua-serial'/></serial>",
    parts: { chardevs: ['charua-serial'] }
  },
  {
    kind: 'parallels',
    xml: "<parallel type='null'><alias name='ua-parallel'/></parallel>",
    skip: 'an ISA bus takes no new device'
  },
  {
    kind: 'consoles',
    xml: "<console type='file'><source path='%DIR%/console' append='on'/><target type='virtio'/><alias name='ua-console'/></console>",
    parts: { chardevs: ['charua-console'] }
  },
  {
    kind: 'channels',
    xml: "<channel type='unix'><source mode='bind' path='%DIR%/channel.sock'/><target type='virtio' name='x'/><alias name='ua-channel'/></channel>",
    parts: { chardevs: ['charua-channel'] }
  },
  {
    kind: 'redirdevs',
    xml: "<redirdev bus='usb' type='tcp'><source mode='bind' host='127.0.0.1' service='0'/><protocol type='raw'/><alias name='ua-redir'/></redirdev>",
    parts: { chardevs: ['charua-redir'] }
  },
  {
    kind: 'rngs',
    xml: "<rng model='virtio'><backend model='random'>/dev/urandom</backend><rate bytes='9'/><alias name='ua-random'/></rng>",
    parts: { objects: ['objua-random'] }
  },
  {
    kind: 'rngs',
    xml: `<rng model='virtio'><backend model='egd' type='udp'><source mode='bind' host='127.0.0.1' service='0'/>
      <source mode='connect' host='127.0.0.1' service='9'/></backend><alias name='ua-egd'/></rng>`,
    parts: { objects: ['objua-egd'], chardevs: ['charua-egd'] }
  },
  { kind: 'inputs', xml: "<input type='tablet' bus='usb'><alias name='ua-tablet'/></input>" },
  { kind: 'inputs', xml: "<input type='keyboard' bus='virtio'><alias name='ua-keyboard'/></input>" },
  { kind: 'watchdogs', xml: "<watchdog model='i6300esb' action='dump'><alias name='ua-dog'/></watchdog>" },
  {
    kind: 'shmems',
    xml: "<shmem name='virshim-plug-%PID%'><model type='ivshmem-plain'/><size unit='M'>4</size><alias name='ua-shmem'/></shmem>",
    parts: { objects: ['shmmem-ua-shmem'] }
  },
  {
    kind: 'shmems',
    xml: "<shmem name='b'><model type='ivshmem-doorbell'/><server path='%DIR%/doorbell.sock'/><alias name='ua-bell'/></shmem>",
    skip: 'its device waits for a server'
  },
  {
    kind: 'memories',
    xml: `<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target><alias name='ua-dimm'/></memory>`,
    parts: { objects: ['memua-dimm'] },
    stays: true
  },
  {
    kind: 'filesystems',
    xml: `<filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/><binary path='/usr/lib/qemu/virtiofsd'/>
      <source dir='%DIR%/channel'/><target dir='t'/><alias name='ua-fs'/></filesystem>`,
    parts: { chardevs: ['chr-vu-ua-fs'] },
    skip: !hasVirtiofsd && "needs root and QEMU's virtiofsd"
  },
  {
    kind: 'vsocks',
    xml: "<vsock><cid auto='no' address='77'/><alias name='ua-vsock'/></vsock>",
    skip: 'has a test of its own'
  }
]

/** A guest with buses for all of them, and these devices; none of them is what it boots from. */
const xmlWith = (
  devices: string
) => `<domain type='qemu'><name>plug</name><maxMemory slots='4' unit='MiB'>1024</maxMemory><memory unit='MiB'>192</memory>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='fd'/></os><features><acpi/></features>
  <cpu><numa><cell id='0' cpus='0' memory='64' unit='MiB'/></numa></cpu>
  <devices>
    <controller type='usb' model='qemu-xhci' ports='15'/><controller type='virtio-serial' index='0'/>
    <controller type='scsi' index='0' model='virtio-scsi'/><video><model type='none'/></video><memballoon model='none'/>
    ${devices}
  </devices></domain>`

const XML = xmlWith(
  CASES.filter(({ skip }) => !skip)
    .map(({ xml }) => xml.replace('%PID%', String(process.pid)))
    .join('')
)

/** A monitor that takes everything, but for one command. */
function recordingQmp(refused?: string) {
  // biome-ignore lint/suspicious/noExplicitAny: commands have arguments of their own each
  const calls: [string, any][] = []
  const execute = async (name: string, args: object) => {
    calls.push([name, args])
    if (name === refused) throw new Error(name)
  }
  return { qmp: { execute } as unknown as QmpMonitor, calls }
}

const aliasOf = ({ xml }: Case) => /<alias name='([^']*)'/.exec(xml)![1]!

/** What QEMU has, by name. */
async function have({ qmp }: PausedQemu) {
  const names = async (path: string) =>
    (await qmp.execute<{ name: string }[]>('qom-list', { path })).map(({ name }) => name).sort()
  const chardevs = await qmp.execute<{ label: string }[]>('query-chardev')
  const nodes = await qmp.execute<{ 'node-name': string }[]>('query-named-block-nodes')
  const network = await qmp.execute<string>('human-monitor-command', { 'command-line': 'info network' })
  return {
    devices: await names('/machine/peripheral'),
    objects: await names('/objects'),
    chardevs: chardevs.map(({ label }) => label),
    nodes: nodes.map(node => node['node-name']),
    netdevs: [...network.matchAll(/^(?: \\ )?([\w.-]+): .*type=/gm)].map(([, name]) => name!)
  }
}

t.test('every family whose devices can leave a running guest has a case', async t => {
  const removable = (Object.keys(noDevices()) as DeviceKind[]).filter(kind => qemuFamily(kind)?.unplug)
  t.same(new Set(CASES.map(({ kind }) => kind)), new Set(removable))
})

t.test('both forms carry the same properties', async t => {
  for (const { kind, xml } of CASES.filter(({ kind }) => kind !== 'hostdevs')) {
    // a tap device that QEMU opens by its name
    const context = testContext({ files: { open: () => undefined, tap: () => undefined } })
    const { def } = await loadDomain(xmlWith(xml), async () => context)
    const guest = { def, context: prepareStart(def, context), masterKey: new Uint8Array(32) }
    for (const card of def.devices.interfaces) card.target ??= { dev: 'tap0' }
    const command = new Command(def, guest.context)
    const plug = new Plug(guest)
    for (const dev of def.devices[kind] as AnyDevice[]) {
      qemuFamily(kind)!.add!(command, dev)
      qemuFamily(kind)!.add!(plug, dev)
    }
    const { qmp, calls } = recordingQmp()
    await plug.execute(qmp, error => t.fail(String(error)))
    const told = calls.map(([name, args]) =>
      name === 'chardev-add' ? chardevArg(args.id, args.backend) : formatJson(args)
    )
    const values = command.argv.filter((_, i) => i % 2 === 1 && command.argv[i - 1] !== '-watchdog-action')
    // only a start waits for a switch
    const ofStart = told.map(value => value.replace(/^(socket,id=charua-switch,.*),wait=off$/, '$1'))
    t.same(ofStart.sort(), values.sort(), kind)
  }
})

t.test('a step that fails is preceded by taking back what was done, the last first', async t => {
  const context = testContext()
  const { xml } = CASES.find(one => aliasOf(one) === 'ua-egd')!
  const { def } = await loadDomain(xmlWith(xml), async () => context)
  const guest = { def, context: prepareStart(def, context), masterKey: new Uint8Array(32) }
  const steps = ['chardev-add', 'object-add', 'device_add']
  const undone = ['chardev-remove', 'object-del']
  for (const [i, step] of steps.entries()) {
    const { qmp, calls } = recordingQmp(step)
    const plug = new Plug(guest)
    qemuFamily('rngs')!.add!(plug, def.devices.rngs[0]!)
    t.match(await errorOf(() => plug.execute(qmp, error => t.fail(String(error)))), step)
    t.same(
      calls.map(([name]) => name),
      [...steps.slice(0, i + 1), ...undone.slice(0, i).reverse()]
    )
  }
})

t.test('what is plugged is there, and nothing of it once it is taken back', async t => {
  const aliases = new Set(CASES.map(aliasOf))
  const guest = await pausedQemu(t, XML, (_, dev) => aliases.has(dev.alias ?? ''))
  const { def, qmp, context, host, warnings } = guest
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', join(context.paths.libDir, 'disk.qcow2'), '1M'])
  execFileSync('qemu-img', ['create', '-q', '-f', 'raw', join(context.paths.libDir, 'disk.raw'), '1M'])
  for (const one of CASES) {
    const { kind, parts = {}, stays, skip = false } = one
    const alias = aliasOf(one)
    await t.test(`${kind}: ${alias}`, { skip }, async t => {
      const dev = (def.devices[kind] as AnyDevice[]).find(one => one.alias === alias)!
      const family = qemuFamily(kind)!
      const before = await have(guest)
      await family.host?.take(dev, host)
      const plug = new Plug(guest)
      family.add!(plug, dev)
      await plug.execute(qmp, error => t.fail(String(error)))
      await family.update?.(dev, qmp)
      const added = await have(guest)
      t.ok(added.devices.includes(alias), 'the device is there')
      for (const [sort, names] of Object.entries(parts))
        t.same(
          names.filter(name => !added[sort as keyof typeof added].includes(name)),
          [],
          sort
        )
      if (!stays) {
        await plug.takeBack(qmp, error => t.fail(String(error)))
        t.same(await have(guest), before)
      }
      await family.host?.give(dev, host)
      t.same(warnings, [])
    })
  }
})

t.test('QEMU has the parts of a device a little longer than its name', async t => {
  const { xml } = CASES.find(one => aliasOf(one) === 'ua-sda')!
  const guest = await pausedQemu(t, xmlWith(xml), kind => kind === 'disks')
  const { def, qmp, context } = guest
  execFileSync('qemu-img', ['create', '-q', '-f', 'raw', join(context.paths.libDir, 'disk.raw'), '1M'])
  const before = await have(guest)
  const plug = new Plug(guest)
  qemuFamily('disks')!.add!(plug, def.devices.disks[0]!)
  const warn = (error: unknown) => t.fail(String(error))
  await plug.execute(qmp, warn)
  await qmp.execute('device_del', { id: 'ua-sda' })
  t.notOk((await have(guest)).devices.includes('ua-sda'))
  await plug.removeParts(qmp, warn)
  t.same(await have(guest), before)
})

t.test('a device that QEMU refuses leaves nothing', async t => {
  const { xml } = CASES.find(one => aliasOf(one) === 'ua-egd')!
  const guest = await pausedQemu(t, xmlWith(xml), kind => kind === 'rngs')
  const { def, qmp } = guest
  const before = await have(guest)
  const [egd] = def.devices.rngs
  const plug = new Plug(guest)
  qemuFamily('rngs')!.add!(plug, egd!)
  plug.device({ driver: 'nonesuch', id: 'nonesuch' })
  t.match(await errorOf(() => plug.execute(qmp, error => t.fail(String(error)))), /'device_add': .*nonesuch/)
  t.same(await have(guest), before)
})

t.test('descriptors wait for somebody who can pass them', async t => {
  const guest = await pausedQemu(t, xmlWith(''), () => false)
  const file = { name: 'null', path: '/dev/null' }
  t.match(await errorOf(() => new Plug(guest).fd(file)), /^VIR_ERR_OPERATION_UNSUPPORTED: .*\/dev\/null/)
  const passed: unknown[] = []
  const passFd = {
    pass: async (...words: unknown[]) => void passed.push(words),
    nextSet: () => 7
  }
  const plug = new Plug(guest, { passFd })
  t.equal(plug.fd({ name: 'tap' }), undefined, 'a tap device is opened by its name')
  t.equal(plug.fd({ name: 'gone', path: '/nowhere' }), undefined)
  t.equal(plug.fd(file), 'null')
  t.equal(plug.fd({ ...file, set: true }), '/dev/fdset/7')
  await plug.execute(guest.qmp, error => t.fail(String(error)))
  t.same(passed, [
    ['/dev/null', 'getfd', { fdname: 'null' }],
    ['/dev/null', 'add-fd', { 'fdset-id': 7, opaque: 'null' }]
  ])
  await plug.takeBack(guest.qmp, error => t.fail(String(error)))
})
