// What a guest uses of the host, by its definition.
import { linkSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseDomain } from '../../src/conf/domain-xml.ts'
import { type Allocation, allocations, deviceAllocations, usedBy } from '../../src/state/allocation.ts'

const definition = (devices: string, rest = '') =>
  parseDomain(
    `<domain type='qemu'><name>g</name><uuid>3c1f0a3e-0000-4000-8000-000000000001</uuid><memory unit='MiB'>8</memory>
    <vcpu>2</vcpu>${rest}<os><type>hvm</type></os><devices>${devices}</devices></domain>`,
    { inactive: false }
  )

/** `kind key-or-amount mode` of all but the amounts every guest has. */
const used = (devices: string, rest?: string) => usedBy(definition(devices, rest)).filter(isSpecial).map(textOf)
const isSpecial = ({ kind, key }: Allocation) => key !== undefined || (kind !== 'memory' && kind !== 'vcpu')
const textOf = ({ kind, key, amount, mode }: Allocation) =>
  [kind, key, amount, mode].filter(one => one !== undefined).join(' ')

const disk = (path: string, inside = '', below = '') =>
  `<disk type='file'><source file='${path}'/>${below}<target dev='vda'/>${inside}</disk>`

t.test('a guest that is shut off holds its names', async t => {
  const def = definition("<interface type='user'><mac address='52:54:00:00:00:01'/></interface>")
  const facts = { active: false, id: -1, cgroups: [] }
  t.same(
    allocations(def, facts).map(({ kind }) => kind),
    ['name', 'uuid']
  )
  t.same(allocations(def, { active: true, id: 7, cgroups: ['/sys/fs/cgroup/g'] }).map(textOf), [
    'name g exclusive',
    `uuid ${def.uuid} exclusive`,
    'domain-id 7 exclusive',
    'mac 52:54:00:00:00:01 exclusive',
    'memory 8192 exclusive',
    'vcpu 2 shared',
    'cgroup /sys/fs/cgroup/g exclusive'
  ])
})

t.test('images, by what they are', async t => {
  const dir = t.testdir({ top: '', base: '' })
  linkSync(join(dir, 'top'), join(dir, 'other-name'))
  const keyOf = (name: string) => {
    const { dev, ino } = statSync(join(dir, name), { bigint: true })
    return `${dev}:${ino}`
  }
  const below = `<backingStore type='file'><format type='raw'/><source file='${dir}/base'/><backingStore/></backingStore>`
  const [top, base] = [keyOf('top'), keyOf('base')]
  t.same(used(disk(`${dir}/top`, '', below)), [`disk ${top} exclusive`, `disk ${base} shared`])
  t.same(used(disk(`${dir}/other-name`)), [`disk ${top} exclusive`], 'by another name it is the same')
  const store = `<dataStore type='file'><format type='raw'/><source file='${dir}/base'/></dataStore>`
  const split = `<disk><driver type='qcow2'/><source file='${dir}/top'>${store}</source><target dev='vda'/></disk>`
  t.same(used(split), [`disk ${top} exclusive`, `disk ${base} exclusive`], 'data beside its image')
  t.same(used(disk(`${dir}/top`, '<readonly/>')), [`disk ${top} shared`])
  t.same(used(disk(`${dir}/top`, '<shareable/>')), [`disk ${top} shared`])
  t.same(used(disk(`${dir}/top`, '<transient/>')), [`disk ${top} shared`], 'an overlay will be written')
  t.match(used(disk(`${dir}/missing`)), [/^disk \d+:\d+\/missing exclusive$/])
  t.same(used(disk('/nowhere/at/all')), ['disk /nowhere/at/all exclusive'])
  const rbd = `<disk type='network'><source protocol='rbd' name='pool/i'><host name='a' port='1'/><host name='b' port='2'/></source>
    <target dev='vda'/></disk>`
  t.same(used(rbd), ['disk rbd://a:1,b:2/pool/i exclusive'])
  t.equal(usedBy(definition(disk(`${dir}/top`)))[0]?.path, `${dir}/top`, 'and says what the guest calls it')
  t.same(used("<disk type='file' device='cdrom'><target dev='hda'/></disk>"), [], 'nothing is in the drive')
})

t.test('host devices', async t => {
  const hostdev = (type: string, source: string, more = '') =>
    `<hostdev mode='subsystem' type='${type}' ${more}><source>${source}</source></hostdev>`
  const pci = "<address domain='0' bus='3' slot='0x1f' function='7'/>"
  t.same(used(hostdev('pci', pci)), ['pci 0000:03:1f.7 exclusive'])
  t.same(
    used(
      `<interface type='hostdev'><mac address='52:54:00:00:00:01'/><source>${pci.replace('<address', "<address type='pci'")}</source></interface>`
    ),
    ['mac 52:54:00:00:00:01 exclusive', 'pci 0000:03:1f.7 exclusive']
  )
  t.same(used(hostdev('usb', "<address bus='1' device='12'/>")), ['usb 001:012 exclusive'])
  const uuid = '11111111-2222-4333-8444-555555555555'
  t.same(used(hostdev('mdev', `<address uuid='${uuid}'/>`, "model='vfio-pci'")), [`mdev ${uuid} exclusive`])
  const unit = "<adapter name='scsi_host2'/><address bus='0' target='1' unit='2'/>"
  t.same(used(hostdev('scsi', unit)), ['scsi scsi_host2:0:1:2 exclusive'])
  t.same(used(`<hostdev mode='subsystem' type='scsi'><source>${unit}</source><shareable/></hostdev>`), [
    'scsi scsi_host2:0:1:2 shared'
  ])
  t.same(
    used(
      "<disk type='nvme'><source type='pci' managed='yes' namespace='1'><address domain='0' bus='4' slot='0' function='0'/></source><target dev='vda'/></disk>"
    ),
    ['pci 0000:04:00.0 exclusive']
  )
})

t.test('ports, sockets, taps, context ids, leases', async t => {
  const dir = t.testdir()
  const { dev, ino } = statSync(dir, { bigint: true })
  const at = (name: string) => `path ${dev}:${ino}/${name} exclusive`
  t.same(used("<graphics type='vnc' port='5901' websocket='5701'/>"), [
    'tcp-port 5901 exclusive',
    'tcp-port 5701 exclusive'
  ])
  t.same(used("<graphics type='spice' port='5902' tlsPort='5903' autoport='no'/>"), [
    'tcp-port 5902 exclusive',
    'tcp-port 5903 exclusive'
  ])
  t.same(used("<graphics type='vnc' port='-1' autoport='yes'/>"), [], 'what is still to be chosen is not there')
  t.same(used(`<graphics type='vnc'><listen type='socket' socket='${dir}/vnc'/></graphics>`), [at('vnc')])
  const serial = (mode: string) => `<serial type='unix'><source mode='${mode}' path='${dir}/serial'/></serial>`
  t.same(used(serial('bind')), [at('serial')])
  t.same(used(serial('connect')), [])
  t.same(used(`<interface type='ethernet'><mac address='52:54:00:00:00:01'/><target dev='tap9'/></interface>`), [
    'mac 52:54:00:00:00:01 exclusive',
    'tap tap9 exclusive'
  ])
  t.same(used(`<vsock><cid auto='no' address='9'/></vsock>`), ['vsock-cid 9 exclusive'])
  t.same(used(`<lease><lockspace>l</lockspace><key>k</key><target path='/l' offset='1'/></lease>`), [
    'lease l/k exclusive'
  ])
  t.match(used("<tpm><backend type='passthrough'><device path='/dev/null'/></backend></tpm>"), [
    /^tpm rdev:\d+ exclusive$/
  ])
  mkdirSync(join(dir, 'nvram'))
  const os = `<os><type>hvm</type><loader type='pflash' readonly='yes'>/x</loader><nvram>${dir}/nvram/v</nvram></os>`
  const def = parseDomain(definitionText(os), { inactive: true })
  const before = usedBy(def).find(({ kind }) => kind === 'nvram')
  writeFileSync(join(dir, 'nvram/v'), '')
  t.match(before, { key: /\/v$/, mode: 'exclusive' })
  t.same(
    usedBy(def).find(({ kind }) => kind === 'nvram'),
    before,
    'before and after the file is made'
  )
})

const definitionText = (os: string) => `<domain type='qemu'><name>g</name><memory>1024</memory>${os}<devices/></domain>`

t.test('memory in huge pages is counted by their size, the rest beside it', async t => {
  const amounts = (rest: string, devices = '') =>
    usedBy(definition(devices, rest))
      .filter(({ amount }) => amount !== undefined)
      .map(textOf)
  t.same(amounts("<memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages></memoryBacking>"), [
    'memory 0 exclusive',
    'hugepages 2048 4 exclusive',
    'vcpu 2 shared'
  ])
  const numa = `<cpu><numa><cell id='0' cpus='0' memory='4' unit='MiB'/><cell id='1' cpus='1' memory='4' unit='MiB'/></numa></cpu>`
  t.same(
    amounts(`<memoryBacking><hugepages><page size='2048' unit='KiB' nodeset='1'/></hugepages></memoryBacking>${numa}`),
    ['memory 4096 exclusive', 'hugepages 2048 2 exclusive', 'vcpu 2 shared']
  )
  t.same(amounts("<memoryBacking><hugepages><page size='4' unit='KiB'/></hugepages></memoryBacking>"), [
    'memory 8192 exclusive',
    'vcpu 2 shared'
  ])
})

t.test('CPUs guests are pinned to are shared', async t => {
  const tune =
    "<cputune><vcpupin vcpu='0' cpuset='3'/><vcpupin vcpu='1' cpuset='3'/><emulatorpin cpuset='0-1'/></cputune>"
  t.same(used('', tune), ['cpuset 0-1 shared', 'cpuset 3 shared'])
})

t.test('one device, as for hotplug', async t => {
  const def = definition(
    "<memory model='dimm'><source><pagesize unit='KiB'>2048</pagesize></source><target><size unit='MiB'>4</size></target></memory>"
  )
  t.same(deviceAllocations('memories', def.devices.memories[0]!, def).map(textOf), [
    'memory 0 exclusive',
    'hugepages 2048 2 exclusive'
  ])
  const nic = definition("<interface type='user'><mac address='52:54:00:00:00:01'/></interface>").devices.interfaces[0]!
  t.same(deviceAllocations('interfaces', nic, def).map(textOf), ['mac 52:54:00:00:00:01 exclusive'])
  t.same(deviceAllocations('inputs', {} as never, def), [])
})
