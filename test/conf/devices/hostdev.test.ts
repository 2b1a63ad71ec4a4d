import t from 'tap'
import { hostdev } from '../../../src/conf/devices/hostdev.ts'
import { define, errorOf, throughTable } from '../../helper/definition.ts'

const through = (attributes: string, inner: string, format = {}) =>
  throughTable(hostdev.fields, `<hostdev ${attributes}>${inner}</hostdev>`, { format })
const PCI = "<source><address domain='0' bus='6' slot='18' function='5'/></source>"
const MDEV = "<source><address uuid='53764D0E85A042B4AF5C2046B460B1DC'/></source>"

t.test('what is written', async t => {
  for (const [attributes, inner, written] of [
    [
      "type='pci' managed='maybe'",
      PCI,
      "<hostdev mode='subsystem' type='pci' managed='no'><source><address domain='0x0000' bus='0x06' slot='0x12' function='0x5'/></source></hostdev>"
    ],
    [
      "mode='subsystem' type='usb' managed='yes'",
      "<source guestReset='on' startupPolicy='optional' autoAddress='yes'><vendor id='10'/><product id='0'/><address bus='010' device='0x10'/></source><readonly/>",
      "<hostdev mode='subsystem' type='usb' managed='yes'><source startupPolicy='optional' guestReset='on'><vendor id='0x000a'/><product id='0x0000'/><address bus='8' device='16'/></source></hostdev>"
    ],
    [
      "type='scsi' sgio='filtered' rawio='no'",
      "<source><adapter name='scsi_host1'/><address bus='0' target='1' unit='18446744073709551615'/></source><readonly/><shareable/>",
      "<hostdev mode='subsystem' type='scsi' managed='no' sgio='filtered' rawio='no'><source><adapter name='scsi_host1'/><address bus='0' target='1' unit='18446744073709551615'/></source><readonly/><shareable/></hostdev>"
    ],
    [
      "type='mdev' model='vfio-pci' ramfb='off'",
      MDEV,
      "<hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' ramfb='off'><source><address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source></hostdev>"
    ]
  ] as const) {
    t.equal(through(attributes, inner), written)
  }
  t.match(
    through("type='usb'", "<source autoAddress='yes'><address bus='1' device='2'/></source>", { migratable: true }),
    "autoAddress='yes'"
  )
})

t.test('what cannot be read', async t => {
  for (const [attributes, inner, error] of [
    ["mode='other' type='pci'", PCI, "Invalid value for attribute 'mode' in element 'hostdev': 'other'."],
    ['', PCI, "Missing required attribute 'type' in element 'hostdev'"],
    ["type='pci'", '', 'Missing <source> element in hostdev device'],
    ["type='pci' model='x'", PCI, "'model' attribute in <hostdev> is only supported when type='pci'"],
    ["type='pci' sgio='filtered'", PCI, 'sgio is only supported for scsi host device'],
    ["type='usb'", "<source><vendor id='1'/></source>", 'missing product'],
    ["type='usb'", "<source><vendor id='0'/><product id='1'/></source>", 'Zero is not permitted'],
    ["type='scsi'", "<source protocol='iscsi' name='x'/>", 'missing the host address for the iSCSI hostdev'],
    ["type='scsi_host'", "<source protocol='vhost' wwpn='naa.1'/>", "malformed 'wwpn' value"],
    ["type='mdev'", MDEV, "Missing required attribute 'model' in element 'hostdev'"],
    ["mode='capabilities' type='net'", '<source/>', 'Missing <interface> element in hostdev net device']
  ] as const) {
    t.match(await errorOf(() => through(attributes, inner)), error)
  }
})

t.test('what cannot be in one guest', async t => {
  const dev = (attributes: string, inner: string) => `<hostdev ${attributes}>${inner}</hostdev>`
  const usb = (inner: string) => dev("type='usb'", `<source>${inner}</source>`)
  const IDS = "<vendor id='1'/><product id='2'/>"
  const twice = 'Hostdev already exists in the domain configuration'
  for (const [devices, error] of [
    [dev("type='pci'", PCI) + dev("type='pci' managed='yes'", PCI), twice],
    [usb(IDS) + usb(`${IDS}<address bus='1' device='1'/>`), twice],
    [usb("<address bus='1' device='1'/>") + usb("<address bus='1' device='2'/>"), 'accepted'],
    [dev("type='mdev' model='vfio-pci' display='on'", MDEV), 'graphics device is needed'],
    [dev("type='pci'", `${PCI}<teaming type='persistent'/>`), "must have type='transient'"],
    [dev("type='usb'", "<source/><address type='pci' slot='5'/>"), "USB host device must use 'usb' address type"],
    [
      dev("mode='capabilities' type='misc'", '<source><char>/c</char></source>'),
      "'capabilities' is not supported in qemu"
    ]
  ] as const) {
    t.match(await errorOf(() => define(devices)), error)
  }
})

t.test('SCSI units take the first free place, with a controller for it', async t => {
  const unit = (n: number) =>
    `<hostdev type='scsi'><source><adapter name='scsi_host0'/><address bus='0' target='0' unit='${n}'/></source></hostdev>`
  const { devices } = await define([...Array(8).keys()].map(unit).join(''))
  t.match(devices.hostdevs.at(-2)?.address, { type: 'drive', controller: 0, unit: 6 })
  t.match(devices.hostdevs.at(-1)?.address, { type: 'drive', controller: 1, unit: 0 })
  t.equal(devices.controllers.filter(({ type }) => type === 'scsi').length, 2)
})
