// Disks and media of a guest on a stand-in QEMU, every step of whose changes fails in turn, or is the last one the shim
// lives to see: the definition then says what QEMU has, and nothing of another try is left.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { storageChain } from '../../../../src/conf/storage/chain.ts'
import { isStorageEmpty } from '../../../../src/conf/storage/source.ts'
import { settleDevices } from '../../../../src/drivers/qemu/hotplug/settle.ts'
import { type BlockCommand, BlockModel, type Fate } from '../../../helper/block-model.ts'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'

t.setTimeout(240_000)

const noLimits =
  spawnSync('prlimit', ['--memlock=unlimited:unlimited', 'true']).status !== 0 && 'raising limits takes a right we lack'

const noImages = spawnSync('qemu-img', ['--version']).status !== 0 && 'no qemu-img'

const LIVE = 1
const FORCE = 4
const CDROM = 'ide0-1-0'

const cdrom = (file = '', more = '') =>
  `<disk type='file' device='cdrom'>${file && `<source file='@/${file}'/>`}<target dev='hdc' bus='ide'/>${more}<readonly/></disk>`
const disk = (more = '', target = "dev='sdb' bus='scsi'") =>
  `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='@/one.img'/><target ${target}/>${more}</disk>`
const LIMITED = disk('<iotune><total_iops_sec>9</total_iops_sec></iotune>')

/** A guest with a CD in its drive, or none, and a SCSI controller. */
async function running(t: Test, medium = 'a.iso') {
  const model = new BlockModel()
  const guest = await StandInGuest.running(t, {
    files: { 'a.iso': 'a'.repeat(512), 'b.iso': 'b'.repeat(512), 'one.img': '1'.repeat(512) },
    devices: `<controller type='scsi' index='0' model='virtio-scsi'/>${cdrom(medium)}`,
    answers: model.answers,
    // a node of its format above that of each image's storage
    missing: ['blockjob.backing-mask-protocol']
  })
  const [drive] = guest.domain.def.devices.disks
  const node = isStorageEmpty(drive!.source) ? undefined : `libvirt-${drive!.source.index}-format`
  model.drives.set(CDROM, { medium: node, open: false, locked: false })
  if (node !== undefined) for (const one of [node, node.replace('format', 'storage')]) model.nodes.add(one)
  model.devices.add('scsi0').add(CDROM)
  const call = (api: string, xml: string, flags = LIVE) =>
    guest.failureOf(api, { xml: xml.replaceAll('@', guest.dir), flags })
  return { guest, model, call }
}
type Running = Awaited<ReturnType<typeof running>>

/** The XML of its devices. */
async function devicesOf({ guest }: Running): Promise<string> {
  return (await guest.call('virDomainGetXMLDesc', { flags: 0 })).xml.replace(/[\s\S]*<devices>/, '')
}

/** What QEMU has and what the definition says are the same. */
function checkSame(t: Test, { guest, model }: Running, what: string): void {
  const { disks } = guest.domain.def.devices
  const images = disks.flatMap(({ source }) => (isStorageEmpty(source) ? [] : storageChain(source)))
  const nodes = images.flatMap(({ index }) => [`libvirt-${index}-format`, `libvirt-${index}-storage`])
  t.same([...model.nodes].sort(), nodes.sort(), `${what}: the nodes`)
  t.same([...model.devices].sort(), ['scsi0', ...disks.map(({ alias }) => alias)].sort(), `${what}: the devices`)
  const drive = disks.find(({ alias }) => alias === CDROM)!
  const { medium, open } = model.drives.get(CDROM)!
  t.equal(medium, isStorageEmpty(drive.source) ? undefined : `libvirt-${drive.source.index}-format`, `${what}: medium`)
  t.equal(drive.target?.tray === 'open', open, `${what}: the tray`)
  t.equal(guest.domain.running.media.size, 0, `${what}: nothing is under way`)
}

const ATTACH: [BlockCommand, number][] = [
  ['blockdev-add', 0],
  ['blockdev-add', 1],
  ['device_add', 0],
  ['block_set_io_throttle', 0]
]
const CHANGE: [BlockCommand, number][] = [
  ['blockdev-add', 0],
  ['blockdev-add', 1],
  ['blockdev-open-tray', 0],
  ['blockdev-remove-medium', 0],
  ['blockdev-insert-medium', 0],
  ['blockdev-close-tray', 0]
]

t.test('a disk comes and goes', async t => {
  const all = await running(t)
  const { guest, model, call } = all
  t.equal(await call('virDomainAttachDeviceFlags', LIMITED), '')
  checkSame(t, all, 'attached')
  t.same(guest.told, [['DEVICE_ADDED', { devAlias: 'scsi0-0-0-1' }]])
  t.match(await call('virDomainAttachDeviceFlags', LIMITED), /target 'sdb' duplicated for disk sources/)
  guest.forget()
  t.equal(await call('virDomainDetachDeviceFlags', LIMITED), '')
  checkSame(t, all, 'detached')
  t.same(guest.told, [['DEVICE_REMOVED', { devAlias: 'scsi0-0-0-1' }]])
  t.equal(model.done.at(-1), 'blockdev-del')
})

t.test('QEMU lets go of a disk a little after its name is gone', async t => {
  const all = await running(t)
  t.equal(await all.call('virDomainAttachDeviceFlags', disk()), '')
  all.model.early = 3
  t.equal(await all.call('virDomainDetachDeviceFlags', disk()), '')
  checkSame(t, all, 'detached')
  t.same(all.guest.logged, [])
})

t.test('the next shim removes nodes that were left', async t => {
  const all = await running(t)
  const { guest, model } = all
  for (const node of ['libvirt-70-format', 'libvirt-70-storage', 'libvirt-71-filter', 'libvirt-72-slice-sto']) {
    model.nodes.add(node)
  }
  guest.leave()
  await guest.takeOver()
  await settleDevices(guest.domain)
  checkSame(t, all, 'settled')
  for (const node of ['libvirt-73-format', 'libvirt-pflash0-storage', 'a-users-own']) model.nodes.add(node)
  const before = [...model.nodes]
  model.early = 1
  await settleDevices(guest.domain)
  t.same([...model.nodes], before, "what somebody uses stays, and what is no image's of ours")
})

t.test('a step of a plug fails', async t => {
  for (const [command, skip] of ATTACH) {
    const all = await running(t)
    const before = await devicesOf(all)
    void all.model.expect(command, 'refused', skip)
    t.match(await all.call('virDomainAttachDeviceFlags', LIMITED), /as the test wants/, command)
    checkSame(t, all, command)
    t.equal(await devicesOf(all), before, `${command}: it is what it was`)
    t.same(all.guest.told, [], `${command}: nobody is told`)
    t.equal(await all.call('virDomainAttachDeviceFlags', LIMITED), '', `${command}: another try`)
    checkSame(t, all, `${command}, again`)
  }
})

t.test('a transient disk has its overlay as long as it is there', { skip: noImages }, async t => {
  const transient = disk('<transient/>').replace('one.img', 'base.img')
  const made = async () => {
    const all = await running(t)
    const base = join(all.guest.dir, 'base.img')
    writeFileSync(base, Buffer.alloc(65536))
    return { all, overlay: `${base}.TRANSIENT-${all.guest.domain.name}` }
  }
  const { all, overlay } = await made()
  t.equal(await all.call('virDomainAttachDeviceFlags', transient), '')
  t.ok(existsSync(overlay))
  checkSame(t, all, 'attached')
  t.match(await all.call('virDomainAttachDeviceFlags', transient.replace('sdb', 'sdc')), /already exists/)
  t.equal(await all.call('virDomainDetachDeviceFlags', transient), '')
  t.notOk(existsSync(overlay))
  checkSame(t, all, 'detached')
  void all.model.expect('device_add', 'refused')
  t.match(await all.call('virDomainAttachDeviceFlags', transient), /as the test wants/)
  t.notOk(existsSync(overlay), 'a failure leaves none')
  const other = await made()
  const attach = () => other.all.call('virDomainAttachDeviceFlags', transient)
  // this process lives on and has removed it
  await killedAt(other.all, 'device_add', 'lost', 0, attach, () => writeFileSync(other.overlay, ''))
  t.notOk(existsSync(other.overlay), 'nor does a shim that was killed')
  checkSame(t, other.all, 'killed')
})

t.test('the secret of an encrypted image', async t => {
  const all = await running(t)
  const uuid = '0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f'
  const luks = disk(`<encryption format='luks'><secret type='passphrase' uuid='${uuid}'/></encryption>`)
  t.equal(await all.call('virDomainAttachDeviceFlags', luks), '')
  t.same(
    [...all.model.objects].map(id => id.replace(/\d+/, 'N')),
    ['libvirt-N-format-encryption-secret0']
  )
  t.equal(await all.call('virDomainDetachDeviceFlags', luks), '')
  t.same([...all.model.objects], [])
  void all.model.expect('blockdev-add', 'refused', 1)
  t.match(await all.call('virDomainAttachDeviceFlags', luks), /as the test wants/)
  t.same([...all.model.objects], [])
  checkSame(t, all, 'refused')
})

t.test('controllers that a disk needs stay, whatever becomes of it', async t => {
  const all = await running(t)
  void all.model.expect('device_add', 'refused', 2)
  const far = disk("<address type='drive' controller='2' bus='0' target='0' unit='0'/>")
  t.match(await all.call('virDomainAttachDeviceFlags', far), /as the test wants/)
  const { controllers } = all.guest.domain.def.devices
  const scsi = controllers.filter(({ type }) => type === 'scsi')
  t.same(
    scsi.map(({ index, model }) => [index, model]),
    [0, 1, 2].map(index => [index, 'virtio-scsi'])
  )
  t.ok(all.model.devices.has('scsi2'))
  t.equal(await all.call('virDomainAttachDeviceFlags', far), '')
})

t.test('memory that a device has QEMU lock', { skip: noLimits }, async t => {
  const { guest, call } = await running(t)
  const nvme = `<disk type='nvme' device='disk'><driver name='qemu' type='raw'/><source type='pci' managed='no' namespace='1'>
    <address domain='0x0000' bus='0x7f' slot='0x00' function='0x0'/></source><target dev='vdb' bus='virtio'/></disk>`
  const limit = () => /^Max locked memory +(\S+)/m.exec(readFileSync(`/proc/${guest.qemu.pid}/limits`, 'utf8'))![1]
  const ours = limit()
  t.equal(await call('virDomainAttachDeviceFlags', LIMITED), '')
  t.equal(limit(), ours)
  t.equal(await call('virDomainAttachDeviceFlags', nvme), '')
  t.equal(limit(), String((64 + 1024) * 1024 * 1024))
})

t.test('a guest that keeps its disk', async t => {
  const all = await running(t)
  const { guest, model } = all
  t.equal(await all.call('virDomainAttachDeviceFlags', disk()), '')
  model.keeps = true
  const detached = all.call('virDomainDetachDeviceFlags', disk())
  guest.forget()
  await guest.qemu.peer.told('device_del')
  guest.qemu.peer.event('DEVICE_UNPLUG_GUEST_ERROR', { device: 'scsi0-0-0-1', path: '/x' })
  t.match(await detached, /OPERATION_FAILED.*unplug of device was rejected by the guest/)
  checkSame(t, all, 'kept')
  t.match(guest.told, [['DEVICE_REMOVAL_FAILED', { devAlias: 'scsi0-0-0-1' }]])
})

t.test('a guest that keeps a disk whose plugging has failed', async t => {
  const all = await running(t)
  const { guest, model } = all
  model.keeps = true
  void model.expect('block_set_io_throttle', 'refused')
  const failed = all.call('virDomainAttachDeviceFlags', LIMITED)
  await guest.qemu.peer.told('device_del')
  guest.qemu.peer.event('DEVICE_UNPLUG_GUEST_ERROR', { device: 'scsi0-0-0-1', path: '/x' })
  t.match(await failed, /as the test wants/)
  checkSame(t, all, 'it is there, and said to be')
  t.same((await guest.status())!.leaving, ['scsi0-0-0-1'])
  t.match(await all.call('virDomainAttachDeviceFlags', LIMITED), /target 'sdb' duplicated for disk sources/)
  guest.leave()
  await guest.takeOver()
  guest.forget()
  model.keeps = false
  await settleDevices(guest.domain)
  const { domain } = guest
  while (domain.def.devices.disks.length > 1) await domain.waitForChange(domain.generation, 60_000)
  t.equal(guest.qemu.peer.commands.filter(command => command === 'device_del').length, 1, 'it is asked for again')
  checkSame(t, all, 'gone')
  t.equal((await guest.status())!.leaving, undefined)
  t.equal(await all.call('virDomainAttachDeviceFlags', LIMITED), '')
})

t.test('a guest that keeps a memory module, which ACPI tells', async t => {
  const model = new BlockModel()
  model.keeps = true
  const guest = await StandInGuest.running(t, {
    outside: `<maxMemory slots='2' unit='MiB'>512</maxMemory>
      <cpu><numa><cell id='0' cpus='0' memory='64' unit='MiB'/></numa></cpu>`,
    answers: { ...model.answers, 'query-memory-devices': [] }
  })
  const xml = "<memory model='dimm'><target><size unit='MiB'>64</size><node>0</node></target></memory>"
  t.equal(await guest.failureOf('virDomainAttachDeviceFlags', { xml, flags: LIVE }), '')
  t.same(guest.told, [['DEVICE_ADDED', { devAlias: 'memdimm0' }]], "libvirt's name of it")
  t.equal(guest.domain.def.memoryKiB, 128 * 1024)
  const detached = guest.failureOf('virDomainDetachDeviceFlags', { xml, flags: LIVE })
  await guest.qemu.peer.told('device_del')
  const info = { device: 'dimm0', slot: '0', 'slot-type': 'DIMM', source: 3, status: 0x81 }
  guest.qemu.peer.event('ACPI_DEVICE_OST', { info })
  t.match(await detached, /OPERATION_FAILED.*unplug of device was rejected by the guest/)
  t.equal(guest.domain.def.memoryKiB, 128 * 1024)
  void model.expect('device_add', 'refused')
  const other = xml.replace('</memory>', "<alias name='ua-two'/></memory>")
  t.match(await guest.failureOf('virDomainAttachDeviceFlags', { xml: other, flags: LIVE }), /as the test wants/)
  t.equal(guest.domain.def.memoryKiB, 128 * 1024, 'what was not plugged in does not count')
  t.same([...model.objects], ['memdimm0'])
})

t.test('media come and go', async t => {
  const all = await running(t)
  const { guest } = all
  for (const file of ['b.iso', '', 'a.iso', 'b.iso']) {
    guest.forget()
    t.equal(await all.call('virDomainUpdateDeviceFlags', cdrom(file)), '')
    checkSame(t, all, file || 'none')
    const moves = guest.told.flatMap(([event, fields]) =>
      event === 'TRAY_CHANGE' ? [(fields as { reason: number }).reason] : []
    )
    t.same(moves, [0, 1], `${file}: the tray opens and shuts`)
  }
})

t.test('a step of a change fails: the old medium is in the drive', async t => {
  for (const medium of ['a.iso', '']) {
    for (const [command, skip] of CHANGE) {
      const what = `${command} ${skip}, ${medium || 'empty'}`
      const all = await running(t, medium)
      const before = await devicesOf(all)
      void all.model.expect(command, 'refused', skip)
      t.match(await all.call('virDomainUpdateDeviceFlags', cdrom('b.iso')), /as the test wants/, what)
      checkSame(t, all, what)
      t.equal(await devicesOf(all), before, `${what}: it is what it was`)
      t.equal(await all.call('virDomainUpdateDeviceFlags', cdrom('b.iso')), '', `${what}: another try`)
      checkSame(t, all, `${what}, again`)
    }
  }
})

t.test('a guest shuts its drive while it is empty', async t => {
  for (const how of ['refused', 'lost'] as const) {
    const all = await running(t)
    const { guest, model } = all
    const met = model.expect('blockdev-insert-medium', how)
    const changed = all.call('virDomainUpdateDeviceFlags', cdrom('b.iso'))
    if (how === 'lost') {
      await met
      guest.domain.save = () => undefined
      model.drives.get(CDROM)!.open = false
      guest.leave()
      await changed
      await guest.takeOver()
      await settleDevices(guest.domain)
    } else t.match(await changed, /as the test wants/)
    checkSame(t, all, how)
  }
})

t.test('a locked tray', async t => {
  const all = await running(t)
  const { guest, model } = all
  model.drives.get(CDROM)!.locked = true
  const refused = all.call('virDomainUpdateDeviceFlags', cdrom('b.iso'))
  t.match(await refused, /OPERATION_FAILED.*timed out waiting to open tray of 'hdc'/)
  checkSame(t, all, 'locked')
  const waiting = all.call('virDomainUpdateDeviceFlags', cdrom('b.iso'))
  await guest.qemu.peer.told('blockdev-open-tray')
  const drive = model.drives.get(CDROM)!
  drive.open = true
  guest.qemu.peer.event('DEVICE_TRAY_MOVED', { device: '', id: CDROM, 'tray-open': true })
  t.equal(await waiting, '', 'the guest opens it after all')
  checkSame(t, all, 'opened')
  t.equal(await all.call('virDomainUpdateDeviceFlags', cdrom('a.iso'), LIVE | FORCE), '', 'by force')
  checkSame(t, all, 'forced')
})

/** The shim ends at that command, and another takes the guest over. @param left makes what a killed one would leave */
async function killedAt(
  all: Running,
  command: BlockCommand,
  fate: Fate,
  skip: number,
  work: () => Promise<string>,
  left?: () => void
) {
  const { guest, model } = all
  const met = model.expect(command, fate, skip)
  const ended = work()
  await met
  // a process that was killed saves nothing any more
  guest.domain.save = () => undefined
  guest.leave()
  await ended
  left?.()
  await guest.takeOver()
  await settleDevices(guest.domain)
}

t.test('the shim is killed in the middle of a change', async t => {
  for (const [from, to] of [
    ['a.iso', 'b.iso'],
    ['', 'b.iso'],
    ['a.iso', '']
  ] as const) {
    const deletes: [BlockCommand, number][] = from
      ? [
          ['blockdev-del', 0],
          ['blockdev-del', 1]
        ]
      : []
    for (const [command, skip] of [...CHANGE, ...deletes]) {
      if (to === '' && (command === 'blockdev-add' || command === 'blockdev-insert-medium')) continue
      for (const fate of ['lost', 'unanswered'] as const) {
        const what = `${from || 'none'} to ${to || 'none'}, ${command} ${skip} ${fate}`
        const all = await running(t, from)
        await killedAt(all, command, fate, skip, () => all.call('virDomainUpdateDeviceFlags', cdrom(to)))
        checkSame(t, all, what)
        t.equal((await all.guest.status())!.media, undefined, `${what}: saved`)
        t.equal(await all.call('virDomainUpdateDeviceFlags', cdrom(to)), '', `${what}: another try`)
        checkSame(t, all, `${what}, again`)
      }
    }
  }
})

t.test('the shim is killed in the middle of a plug, and of the way back', async t => {
  for (const fate of ['lost', 'unanswered'] as const) {
    for (const [command, skip] of ATTACH) {
      const all = await running(t)
      await killedAt(all, command, fate, skip, () => all.call('virDomainAttachDeviceFlags', LIMITED))
      checkSame(t, all, `${command} ${skip} ${fate}`)
    }
    for (const [command, skip] of [
      ['device_del', 0],
      ['blockdev-del', 0],
      ['blockdev-del', 1]
    ] as const) {
      const all = await running(t)
      t.equal(await all.call('virDomainAttachDeviceFlags', LIMITED), '')
      await killedAt(all, command, fate, skip, () => all.call('virDomainDetachDeviceFlags', LIMITED))
      checkSame(t, all, `${command} ${skip} ${fate}`)
      t.ok(all.guest.domain.root.status.startsWith(join(all.guest.dir, 'root')))
    }
  }
})
