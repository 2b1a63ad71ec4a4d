import t from 'tap'
import { argvOf, errorOf, type GuestOptions } from '../../../helper/definition.ts'

/** Values of one option, JSON ones parsed. */
async function values(option: string, devices: string, options?: GuestOptions): Promise<Record<string, unknown>[]> {
  const lines = await argvOf(devices, options)
  return lines
    .filter(line => line.startsWith(`${option} {`))
    .map(line => JSON.parse(line.slice(option.length + 1)) as Record<string, unknown>)
}

const deviceOf = async (disk: string, options?: GuestOptions) =>
  (await values('-device', disk, options)).find(
    ({ id, drive }) => drive !== undefined || String(id).startsWith('virtio-disk')
  )

/** QEMU up to 8.2, which works on the storage of raw images only below a node for their format. */
const OLDER: GuestOptions = { missing: ['blockjob.backing-mask-protocol'] }

const CHAIN = `<disk><driver type='qcow2' cache='none' copy_on_read='on' discard='unmap' detect_zeroes='unmap'/><source file='/top'/>
  <backingStore type='block'><format type='raw'/><source dev='/dev/base'/></backingStore><target dev='vda'/></disk>`

t.test('a chain has nodes from the bottom up, the copy-on-read filter on top', async t => {
  const nodes = await values('-blockdev', CHAIN, OLDER)
  const cache = { direct: true, 'no-flush': false }
  const common = { cache, 'auto-read-only': true, discard: 'unmap' }
  t.same(nodes, [
    { driver: 'host_device', filename: '/dev/base', 'node-name': 'libvirt-2-storage', ...common },
    {
      'node-name': 'libvirt-2-format',
      'read-only': true,
      discard: 'unmap',
      'detect-zeroes': 'unmap',
      cache,
      driver: 'raw',
      file: 'libvirt-2-storage'
    },
    { driver: 'file', filename: '/top', 'node-name': 'libvirt-1-storage', ...common },
    {
      'node-name': 'libvirt-1-format',
      'read-only': false,
      discard: 'unmap',
      'detect-zeroes': 'unmap',
      cache,
      driver: 'qcow2',
      file: 'libvirt-1-storage',
      backing: 'libvirt-2-format'
    },
    { driver: 'copy-on-read', 'node-name': 'libvirt-CoR-vda', file: 'libvirt-1-format', discard: 'unmap' }
  ])
})

t.test('the storage of a raw image is its only node where QEMU can work on it', async t => {
  const cache = { direct: true, 'no-flush': false }
  t.match(await values('-blockdev', CHAIN), [
    {
      driver: 'host_device',
      filename: '/dev/base',
      'node-name': 'libvirt-2-storage',
      'read-only': true,
      discard: 'unmap',
      cache
    },
    { driver: 'file', 'node-name': 'libvirt-1-storage', 'auto-read-only': true, discard: 'unmap', cache },
    { driver: 'qcow2', 'node-name': 'libvirt-1-format', 'read-only': false, backing: 'libvirt-2-storage' },
    { driver: 'copy-on-read', file: 'libvirt-1-format' }
  ])
  const disk = "<disk><source file='/a'/><target dev='vda'/></disk>"
  t.equal((await values('-blockdev', disk)).length, 1)
  t.match(await deviceOf(disk), { drive: 'libvirt-1-storage' })
})

t.test('images are numbered from the last disk', async t => {
  const xml = ['vda', 'vdb'].map(dev => `<disk><source file='/${dev}'/><target dev='${dev}'/></disk>`).join('')
  const files = await values('-blockdev', xml)
  t.same(
    files.filter(({ filename }) => filename).map(node => [node.filename, node['node-name']]),
    [
      ['/vda', 'libvirt-2-storage'],
      ['/vdb', 'libvirt-1-storage']
    ]
  )
})

t.test('each bus has its device', async t => {
  for (const [bus, dev, driver, place] of [
    ['ide', 'hdb', 'ide-hd', { bus: 'ide.0', unit: 1 }],
    ['sata', 'sdb', 'ide-hd', { bus: 'sata0.1' }],
    ['scsi', 'sdb', 'scsi-hd', { bus: 'scsi0.0', 'scsi-id': 1 }],
    ['usb', 'sdb', 'usb-storage', { bus: 'usb.0', port: '1', removable: false }]
  ] as const) {
    const device = await deviceOf(`<disk><source file='/a'/><target dev='${dev}' bus='${bus}'/></disk>`)
    t.match(device, { driver, ...place }, bus)
  }
  const virtio = await deviceOf("<disk><driver queues='2'/><source file='/a'/><target dev='vda'/></disk>", OLDER)
  t.match(virtio, { driver: 'virtio-blk-pci', 'num-queues': 2, drive: 'libvirt-1-format', id: 'virtio-disk0' })
})

t.test('a floppy’s place in the boot order is its controller’s', async t => {
  const floppy = "<disk device='floppy'><source file='/f'/><target dev='fdb'/><boot order='3'/></disk>"
  t.ok((await argvOf(floppy)).includes('-global isa-fdc.bootindexB=3'))
  t.same(
    (await values('-device', floppy, { machine: 'q35' })).filter(({ driver }) => driver === 'isa-fdc'),
    [{ driver: 'isa-fdc', bootindexB: 3 }]
  )
})

t.test('error policies, cache and identity reach the device', async t => {
  const device = await deviceOf(
    "<disk><driver cache='writethrough' error_policy='enospace'/><source file='/a'/><target dev='sda' bus='scsi'/><serial>a b</serial><wwn>5000c50015ea71aa</wwn></disk>"
  )
  t.match(device, { 'write-cache': 'off', werror: 'enospc', serial: 'a\\ b', device_id: 'a b' })
  t.notOk(device && 'rerror' in device)
  const stop = await deviceOf("<disk><driver error_policy='stop'/><source file='/a'/><target dev='vda'/></disk>")
  t.match(stop, { werror: 'stop', rerror: 'stop' })
})

t.test('what cannot be started is told', async t => {
  const vxhs =
    "<disk type='network'><source protocol='vxhs' name='e'><host name='h'/></source><target dev='vda'/></disk>"
  t.equal(
    await errorOf(() => argvOf(vxhs, { missing: ['vxhs'] })),
    'VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: VxHS protocol is not supported with this QEMU binary'
  )
  const volume = (policy: string) =>
    `<disk type='volume' device='cdrom'><source pool='p' volume='v'${policy}/><target dev='hda'/></disk>`
  t.equal(
    await errorOf(() => argvOf(volume(''))),
    "VIR_ERR_NO_STORAGE_POOL: Storage pool not found: no storage pool with matching name 'p'"
  )
  const started = await values('-blockdev', volume(" startupPolicy='optional'"))
  t.same(started, [], 'an optional medium may be missing')
})

t.test('data that an image keeps elsewhere has a node before it', async t => {
  const store = (file: string) => `<dataStore type='file'><format type='raw'/><source file='${file}'/></dataStore>`
  const xml = `<disk><driver type='qcow2' discard_no_unref='on'/><source file='/top'>${store('/data')}</source>
    <backingStore type='file'><format type='qcow2'/><source file='/base'>${store('/old')}</source></backingStore><target dev='vda'/></disk>`
  const nodes = await values('-blockdev', xml)
  t.same(
    nodes.filter(({ filename }) => filename).map(node => [node.filename, node['node-name']]),
    [
      ['/old', 'libvirt-4-storage'],
      ['/base', 'libvirt-3-storage'],
      ['/data', 'libvirt-2-storage'],
      ['/top', 'libvirt-1-storage']
    ]
  )
  const top = nodes.find(node => node['node-name'] === 'libvirt-1-format')!
  t.match(top, { 'discard-no-unref': true, backing: 'libvirt-3-format', 'data-file': /^libvirt-2-/ })
  t.equal(nodes.find(node => node['node-name'] === top['data-file'])!['read-only'], false)
  const base = nodes.find(node => node['node-name'] === 'libvirt-3-format')!
  t.equal(nodes.find(node => node['node-name'] === base['data-file'])!['read-only'], true)
})

t.test('properties of the guest’s device that libvirt 11.3 adds', async t => {
  const device = (rest: string, target: string) => deviceOf(`<disk><source file='/a'/>${target}${rest}</disk>`)
  t.match(await device("<blockio discard_granularity='4096'/>", "<target dev='vda'/>"), { discard_granularity: 4096 })
  t.match(await device('', "<target dev='sda' bus='scsi' removable='on'/>"), { removable: true })
  t.match(await device('<product>name</product>', "<target dev='sda' bus='sata'/>"), { model: 'name' })
  t.match(await device('<product>name</product>', "<target dev='sda' bus='scsi'/>"), { product: 'name' })
  const threads = "<driver queues='1'><iothreads><iothread id='1'><queue id='0'/></iothread></iothreads></driver>"
  t.match(
    await deviceOf(`<disk>${threads}<source file='/a'/><target dev='vda'/></disk>`, {
      outside: '<iothreads>1</iothreads>'
    }),
    {
      'iothread-vq-mapping': [{ iothread: 'iothread1', vqs: [0] }]
    }
  )
})

t.test('layers of encryption lie in one another', async t => {
  const key = "<secret type='passphrase' usage='s'/>"
  const xml = `<disk type='network'><source protocol='rbd' name='p/i'><encryption format='luks-any' engine='librbd'>${key}${key}</encryption></source><target dev='vda'/></disk>`
  const [node] = await values('-blockdev', xml)
  t.match(node!.encrypt, {
    format: 'luks-any',
    'key-secret': /-encryption-secret0$/,
    parent: { format: 'luks-any', 'key-secret': /-encryption-secret1$/ }
  })
  t.match(
    await errorOf(() => argvOf(xml, { missing: ['rbd-encryption-layering'] })),
    'librbd encryption layering is not supported by this QEMU binary'
  )
})

t.test('a vDPA device is opened for QEMU, which a shown command line has not', async t => {
  const xml = "<disk type='vhostvdpa'><driver cache='none'/><source dev='/dev/vhost-vdpa-0'/><target dev='vda'/></disk>"
  const outside = "<memoryBacking><access mode='shared'/></memoryBacking>"
  t.match(await errorOf(() => argvOf(xml, { outside })), "argument key 'path' must not have null value")
  t.match(await errorOf(() => argvOf(xml)), "'vhostvdpa' requires shared memory")
  t.match(
    await errorOf(() => argvOf(xml.replace('none', 'unsafe'), { outside })),
    "requires cache mode 'directsync' or 'none'"
  )
})

t.test('a USB disk is one device, or a SCSI disk behind usb-bot', async t => {
  const disk = (model: string, bus = 'usb', removable = '') =>
    `<disk type='file' model='${model}'><source file='/a'/><target dev='sda' bus='${bus}'${removable}/></disk>`
  const devices = async (xml: string) =>
    (await values('-device', xml)).filter(({ id }) => String(id).startsWith('usb-disk'))
  const drive = { drive: 'libvirt-1-storage', bootindex: 1 }
  const onBus = { bus: 'usb.0', port: '1' }
  t.same(await devices(disk('usb-storage')), [
    { driver: 'usb-storage', id: 'usb-disk0', ...onBus, ...drive, removable: false }
  ])
  t.same(await devices(disk('usb-bot', 'usb', " removable='on'")), [
    { driver: 'usb-bot', id: 'usb-disk0', ...onBus },
    { driver: 'scsi-hd', id: 'usb-disk0-device', bus: 'usb-disk0.0', 'scsi-id': 0, lun: 0, ...drive, removable: true }
  ])
  t.match(await errorOf(() => argvOf(disk('virtio'))), /disk model 'virtio' not supported for bus 'usb'$/)
  t.match(
    await errorOf(() => argvOf(disk('usb-bot', 'virtio'))),
    /disk model 'usb-bot' not supported for bus 'virtio'$/
  )
})
