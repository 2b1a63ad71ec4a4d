import t from 'tap'
import { controllerFields } from '../../../src/conf/devices/controller.ts'
import { define, errorOf, throughTable } from '../../helper/definition.ts'

const through = (attributes: string, inner = '') =>
  throughTable(controllerFields, `<controller ${attributes}>${inner}</controller>`)

t.test('each type has its own attributes and ignores those of others', async t => {
  for (const [given, written] of [
    ['', "<controller type='ide'/>"],
    ["type='usb' ports='4' vectors='3'", "<controller type='usb' ports='4'/>"],
    ["type='virtio-serial' ports='4' vectors='3'", "<controller type='virtio-serial' ports='4' vectors='3'/>"],
    ["type='xenbus' maxGrantFrames='4' ports='1'", "<controller type='xenbus' maxGrantFrames='4'/>"],
    [
      "type='usb' model='ich9-uhci2' index='1'",
      "<controller type='usb' index='1' model='ich9-uhci2'><master startport='2'/></controller>"
    ]
  ] as const) {
    t.equal(through(given), written)
  }
  t.equal(
    through(
      "type='pci' index='1' model='pcie-root-port'",
      "<target chassis='0x10' port='017'/><model name='ioh3420'/>"
    ),
    "<controller type='pci' index='1' model='pcie-root-port'><model name='ioh3420'/><target chassis='16' port='0xf'/></controller>"
  )
  t.equal(
    through("type='pci' index='0' model='pci-root'", "<pcihole64 unit='bytes'>1025</pcihole64>"),
    "<controller type='pci' index='0' model='pci-root'><pcihole64 unit='KiB'>2</pcihole64></controller>"
  )
  t.equal(
    through("type='scsi' model='virtio-scsi'", "<driver queues='0' cmd_per_lun='8' iothread='2'/>"),
    "<controller type='scsi' model='virtio-scsi'><driver cmd_per_lun='8' iothread='2'/></controller>"
  )
  t.equal(
    through("type='usb' model='none'", "<alias name='ua-x'/><address type='pci' slot='3'/>"),
    "<controller type='usb' model='none'/>"
  )
})

t.test('wrong values', async t => {
  for (const [given, inner, error] of [
    ["type='bogus'", '', "Invalid value for attribute 'type' in element 'controller': 'bogus'."],
    ["type='sata' model='piix3'", '', "Unknown model type 'piix3'"],
    ["type='usb' index='-1'", '', "'-1'. Expected non-negative value"],
    ["type='usb' index='x'", '', "'x'. Expected integer value"],
    ["type='pci' model='pci-bridge'", '<target/><target/>', 'Multiple <target> elements'],
    ["type='pci' model='pci-bridge'", '<model/><model/>', 'Multiple <model> elements'],
    ["type='usb'", '<target><node>-1</node></target>', 'invalid NUMA node in target']
  ] as const) {
    t.match(await errorOf(() => through(given, inner)), error)
  }
})

t.test('controllers are kept by index, masters before their companions', async t => {
  const usb = (index: number, model: string) => `<controller type='usb' index='${index}' model='${model}'/>`
  const { controllers } = (
    await define(usb(1, 'nec-xhci') + usb(0, 'ich9-uhci3') + usb(0, 'ich9-uhci1') + usb(0, 'ich9-ehci1'))
  ).devices
  t.same(
    controllers.filter(({ type }) => type === 'usb').map(({ index, model }) => [index, model]),
    [
      [0, 'ich9-ehci1'],
      [0, 'ich9-uhci3'],
      [0, 'ich9-uhci1'],
      [1, 'nec-xhci']
    ]
  )
})

t.test('the lowest free number, one for all parts of an ICH9 controller', async t => {
  const parts = ['ehci1', 'uhci1', 'uhci2', 'ehci1', 'uhci3'].map(m => `<controller type='usb' model='ich9-${m}'/>`)
  const { controllers } = (await define(parts.join(''))).devices
  t.same(
    controllers.filter(({ type }) => type === 'usb').map(({ index }) => index),
    [0, 0, 0, 1, 1]
  )
})

t.test('sets of controllers that cannot be', async t => {
  for (const [devices, error] of [
    ["<controller type='usb' model='none'/><controller type='usb' model='ehci'/>", "Can't add another USB controller"],
    ["<controller type='usb' index='0' model='ich9-uhci1'/>", 'No master USB controller specified'],
    [
      "<controller type='scsi' index='1'/><controller type='scsi' index='1'/>",
      "Multiple 'scsi' controllers with index '1'"
    ],
    ["<controller type='usb' model='none'/><hub type='usb'/>", "Can't add USB hub: USB is disabled for this domain"],
    ["<controller type='pci' index='0' model='pcie-root'/>", "must be model='pci-root' for this machine type"],
    ["<controller type='pci' index='300' model='pci-bridge'/>", 'PCI controller index 256 too high, maximum is 255'],
    [
      "<controller type='pci' index='1' model='pci-bridge'><target chassisNr='0'/></controller>",
      "PCI controller chassisNr '0' out of range - must be 1-255"
    ]
  ] as const) {
    t.match(await errorOf(() => define(devices)), error)
  }
})

t.test('implicit controllers and drive addresses', async t => {
  const disk = (dev: string, bus: string) => `<disk device='cdrom'><target dev='${dev}' bus='${bus}'/></disk>`
  const { controllers, disks } = (await define(disk('sdi', 'scsi') + disk('sdh', 'sata') + disk('hdc', 'ide'))).devices
  t.same(
    controllers.map(({ type, index }) => `${type}${index}`),
    ['usb0', 'pci0', 'scsi0', 'scsi1', 'ide0', 'sata0', 'sata1']
  )
  t.same(
    disks.map(({ address }) => address),
    [
      { type: 'drive', controller: 1, bus: 0, target: 0, unit: 1 },
      { type: 'drive', controller: 1, bus: 0, target: 0, unit: 1 },
      { type: 'drive', controller: 0, bus: 1, target: 0, unit: 0 }
    ]
  )
})

t.test('boot order against boot devices', async t => {
  const nic = (order: number) => `<interface type='user'><boot order='${order}'/></interface>`
  t.match(await errorOf(() => define(nic(1) + nic(1))), "boot order '1' used for more than one device")
  t.same((await define(nic(1) + nic(2))).os.bootDevices, [])
  t.same((await define('')).os.bootDevices, [{ dev: 'hd' }])
})

t.test('an alias is given once', async t => {
  const nic = "<interface type='user'><alias name='ua-1'/></interface>"
  t.match(await errorOf(() => define(nic + nic)), 'non unique alias detected: ua-1')
})
