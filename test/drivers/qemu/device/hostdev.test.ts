import t from 'tap'
import { argvOf, errorOf, type GuestOptions } from '../../../helper/definition.ts'
import { onHost } from '../../../helper/host-tree.ts'

/** A host that can pass PCI devices through. */
const VFIO = { '/sys/kernel/iommu_groups/1/type': 'DMA', '/dev/vfio/vfio': '' }

const hostdevOf = async (attributes: string, inner: string, options: GuestOptions = {}, beside = '') =>
  (await argvOf(`${beside}<hostdev ${attributes}>${inner}</hostdev>`, options)).filter(line =>
    /"hostdev0"|-backend"/.test(line)
  )

t.test('devices of each type', async t => {
  const uuid = '53764d0e-85a0-42b4-af5c-2046b460b1dc'
  for (const [attributes, inner, lines] of [
    [
      "type='usb'",
      "<source guestReset='uninitialized'><address bus='1' device='12'/></source><boot order='1'/>",
      [
        '-device {"driver":"usb-host","hostdevice":"/dev/bus/usb/001/012","id":"hostdev0","bootindex":1,"guest-reset":true,"guest-resets-all":false,"bus":"usb.0","port":"1"}'
      ]
    ],
    [
      "type='pci'",
      "<driver name='vfio'/><source><address domain='1' bus='0xf0' slot='0x1f' function='3'/></source><rom enabled='no'/>",
      ['-device {"driver":"vfio-pci","host":"0001:f0:1f.3","id":"hostdev0","bus":"pci.0","addr":"0x2","romfile":""}']
    ],
    [
      "type='scsi'",
      "<source protocol='iscsi' name='iqn.x:y/3'><host name='::1' port='3260'/></source><readonly/><address type='drive' controller='0' target='2' unit='5'/>",
      [
        '-blockdev {"driver":"iscsi","portal":"[::1]:3260","target":"iqn.x:y","lun":3,"transport":"tcp","node-name":"libvirt-1-backend","read-only":true}',
        '-device {"driver":"scsi-generic","drive":"libvirt-1-backend","id":"hostdev0","bus":"scsi0.0","channel":0,"scsi-id":2,"lun":5}'
      ]
    ],
    [
      "type='mdev' model='vfio-pci'",
      `<source><address uuid='${uuid}'/></source>`,
      [
        `-device {"driver":"vfio-pci","id":"hostdev0","sysfsdev":"/sys/bus/mdev/devices/${uuid}","display":"off","bus":"pci.0","addr":"0x2"}`
      ]
    ],
    ["type='pci'", "<source><address bus='0xf0'/></source><address type='unassigned'/>", []]
  ] as const) {
    const controller = "<controller type='scsi' index='0' model='virtio-scsi'/>"
    const beside = attributes.includes('scsi') ? controller : ''
    await onHost(VFIO, async () => t.same(await hostdevOf(attributes, inner, {}, beside), lines))
  }
})

t.test('what QEMU cannot be given', async t => {
  const pci = (driver: string) => `${driver}<source><address bus='0xf0'/></source>`
  for (const [attributes, inner, error] of [
    ["type='pci'", pci("<driver name='kvm'/>"), "invalid PCI passthrough type 'kvm'"],
    ["type='pci'", "<source writeFiltering='no'><address bus='1'/></source>", 'Write filtering of PCI device'],
    ["type='usb'", "<source><vendor id='1'/><product id='1'/></source>", 'missing bus/device information'],
    [
      "type='scsi'",
      "<source><adapter name='fc_host1'/><address bus='0' target='0' unit='0'/></source>",
      "Cannot parse adapter 'fc_host1'"
    ]
  ] as const) {
    await onHost(VFIO, async () => t.match(await errorOf(() => hostdevOf(attributes, inner)), error))
  }
  await onHost({}, async () => {
    const answer = (driver: string, pretend = true) => errorOf(() => hostdevOf("type='pci'", pci(driver), { pretend }))
    t.match(await answer(''), "host doesn't support passthrough of host PCI devices")
    t.equal(await answer("<driver name='vfio'/>"), 'accepted', 'as long as it is only shown')
    t.match(await answer("<driver name='vfio'/>", false), "host doesn't support VFIO PCI passthrough")
  })
  const usb = "<source guestReset='on'><address bus='1' device='1'/></source>"
  t.match(
    await errorOf(() => hostdevOf("type='usb'", usb, { missing: ['usb-host.guest-resets-all'] })),
    'guestReset is not supported with this version of QEMU'
  )
})

t.test('a network card of the host is a host device, and shown as a plain card besides', async t => {
  const card =
    "<interface type='hostdev'><mac address='52:54:00:00:00:01'/><driver name='vfio'/><source><address type='pci' bus='0xf0'/></source><model type='virtio'/></interface>"
  let argv: string[] = []
  await onHost(VFIO, async () => {
    argv = await argvOf(card)
  })
  t.ok(argv.some(line => line.includes('"driver":"vfio-pci","host":"0000:f0:00.0","id":"hostdev0"')))
  t.ok(argv.some(line => line.includes('"driver":"virtio-net-pci"')))
})
