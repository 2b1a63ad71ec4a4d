import t from 'tap'
import { deviceBoot, deviceInfo, deviceInfoWithRom } from '../../../src/conf/devices/device-info.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const fields = { ...deviceBoot, ...deviceInfoWithRom }
const through = (inner: string, live = false) =>
  throughTable(fields, `<dev>${inner}</dev>`, { parse: { inactive: !live }, format: { inactive: !live } })
    .replace('<dev>', '')
    .replace('</dev>', '')
    .replace('<dev/>', '')

t.test('addresses are written in full, and none of what is not known', async t => {
  for (const [given, written] of [
    ["<address type='pci'/>", "<address type='pci'/>"],
    ["<address type='pci' function='3' multifunction='on'/>", "<address type='pci' multifunction='on'/>"],
    [
      "<address type='pci' bus='10' slot='0x1f' function='07'/>",
      "<address type='pci' domain='0x0000' bus='0x0a' slot='0x1f' function='0x7'/>"
    ],
    [
      "<address type='pci' slot='3'><zpci fid='2'/></address>",
      "<address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'><zpci uid='0x0000' fid='0x00000002'/></address>"
    ],
    ["<address type='drive' unit='1'/>", "<address type='drive' controller='0' bus='0' target='0' unit='1'/>"],
    ["<address type='virtio-serial' port='2'/>", "<address type='virtio-serial' controller='0' bus='0' port='2'/>"],
    ["<address type='ccid' slot='1'/>", "<address type='ccid' controller='0' slot='1'/>"],
    ["<address type='usb' port='1.02.3'/>", "<address type='usb' bus='0' port='1.2.3'/>"],
    ["<address type='usb' bus='2' port='0'/>", "<address type='usb' bus='2'/>"],
    ["<address type='spapr-vio'/>", "<address type='spapr-vio'/>"],
    ["<address type='spapr-vio' reg='3000'/>", "<address type='spapr-vio' reg='0x00003000'/>"],
    ["<address type='ccw'/>", "<address type='ccw' cssid='0x0' ssid='0x0' devno='0x0000'/>"],
    ["<address type='isa' iobase='3f8' irq='0'/>", "<address type='isa' iobase='0x3f8'/>"],
    ["<address type='dimm' slot='1' base='0x100'/>", "<address type='dimm' slot='1' base='0x100'/>"],
    ["<address type='virtio-mmio'/>", "<address type='virtio-mmio'/>"],
    ["<address type='unassigned'/>", "<address type='unassigned'/>"]
  ] as const) {
    t.equal(through(given), written)
  }
})

t.test('wrong addresses have the errors of libvirt', async t => {
  for (const [address, error] of [
    ["slot='3'", "VIR_ERR_XML_ERROR: XML error: Missing required attribute 'type' in element 'address'"],
    ["type='none'", "VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'address': 'none'."],
    ["type='virtio-s390'", "VIR_ERR_XML_ERROR: XML error: virtio-s390 bus doesn't have an address"],
    ["type='pci' bus='256'", "VIR_ERR_XML_ERROR: XML error: Invalid PCI address bus='0x100', must be <= 0xFF"],
    ["type='pci' slot='0x20'", "VIR_ERR_XML_ERROR: XML error: Invalid PCI address slot='0x20', must be <= 0x1F"],
    [
      "type='pci' slot='1' function='8'",
      'VIR_ERR_XML_ERROR: XML error: Invalid PCI address function=0x8, must be <= 7'
    ],
    [
      "type='pci' slot='-1'",
      "VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'slot' in element 'address': '-1'. Expected non-negative integer value"
    ],
    ["type='usb' port='1.2.3.4.5'", "VIR_ERR_INTERNAL_ERROR: internal error: Cannot parse <address> 'port' attribute"],
    ["type='usb' port='1..2'", "VIR_ERR_INTERNAL_ERROR: internal error: Cannot parse <address> 'port' attribute"],
    ["type='dimm'", "VIR_ERR_XML_ERROR: XML error: Missing required attribute 'slot' in element 'address'"],
    [
      "type='ccw' cssid='0xfe'",
      'VIR_ERR_INTERNAL_ERROR: internal error: Invalid partial specification for virtio ccw address'
    ],
    [
      "type='ccw' cssid='0xff' ssid='0' devno='1'",
      "VIR_ERR_INTERNAL_ERROR: internal error: Invalid specification for virtio ccw address: cssid='0xff' ssid='0x0' devno='0x0001'"
    ]
  ] as const) {
    t.equal(await errorOf(() => through(`<address ${address}/>`)), error)
  }
})

t.test('aliases of the user stay, ours live on running guests only', async t => {
  t.equal(through("<alias name='ua-disk_1-X'/>"), "<alias name='ua-disk_1-X'/>")
  t.equal(through("<alias name='net0'/>"), '')
  t.equal(through("<alias name='ua-a b'/>"), '')
  t.equal(through("<alias name='net0'/>", true), "<alias name='net0'/>")
})

t.test('boot order, ROM and ACPI index', async t => {
  t.equal(through("<boot order='2' loadparm='linux.1'/>"), "<boot order='2' loadparm='LINUX.1'/>")
  t.equal(
    through("<acpi index='7'/><rom bar='off' file='/x'/><master startport='2'/>"),
    "<master startport='2'/><rom bar='off' file='/x'/><acpi index='7'/>"
  )
  t.equal(throughTable(deviceInfo, "<dev><rom bar='off'/></dev>"), '<dev/>', 'most devices have no ROM')
  for (const [inner, error] of [
    ["<boot order='0'/>", "Invalid value for attribute 'order' in element 'boot': Zero is not permitted"],
    ['<boot/>', "Missing required attribute 'order' in element 'boot'"],
    ["<boot order='1' loadparm='123456789'/>", "loadparm value '123456789' must be between 1 and 8 characters"],
    ["<boot order='1' loadparm='a*'/>", "invalid loadparm value 'A*', expecting chars in set of [a-zA-Z0-9.]"],
    ["<rom enabled='no' bar='on'/>", 'ROM tuning is not supported when ROM is disabled'],
    ["<acpi index='0'/>", "Invalid value for attribute 'index' in element 'acpi': Zero is not permitted"]
  ] as const) {
    t.match(await errorOf(() => through(inner)), error)
  }
})
