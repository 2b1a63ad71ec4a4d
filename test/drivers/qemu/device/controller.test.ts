import t from 'tap'
import { argvOf, errorOf, type GuestOptions } from '../../../helper/definition.ts'

const OF_INTEREST = /^-usb|^-global|"(id|driver)":"(ua-|usb|scsi|sata|pci\.|virtio-serial|ccid|ich9-usb|hub)/
const argsOf = async (devices: string, options: GuestOptions = {}) =>
  (await argvOf(`${devices}<memballoon model='none'/>`, options)).filter(line => OF_INTEREST.test(line))
const pci = (index: number, model: string, inner = '') =>
  `<controller type='pci' index='${index}' model='${model}'>${inner}</controller>`

t.test('controllers by type, PCI first, and the options of each', async t => {
  t.same(
    await argsOf(
      "<controller type='virtio-serial' index='0' ports='5' vectors='2'/><controller type='scsi' model='virtio-scsi'><driver queues='2' cmd_per_lun='3' max_sectors='4' ioeventfd='off' packed='on'/></controller>" +
        "<controller type='scsi' index='1' model='dc390'/><controller type='sata'/><controller type='ccid'/><hub type='usb'/><controller type='usb' model='nec-xhci' ports='3'/>" +
        pci(0, 'pci-root', "<target hotplug='off'/><pcihole64 unit='MiB'>2</pcihole64>") +
        pci(1, 'pci-bridge')
    ),
    [
      '-global i440FX-pcihost.pci-hole64-size=2048K',
      '-global PIIX4_PM.acpi-root-pci-hotplug=off',
      '-device {"driver":"pci-bridge","chassis_nr":1,"id":"pci.1","bus":"pci.0","addr":"0x2"}',
      '-device {"driver":"nec-usb-xhci","p2":3,"p3":3,"id":"usb","bus":"pci.0","addr":"0x7"}',
      '-device {"driver":"virtio-scsi-pci","packed":true,"id":"scsi0","num_queues":2,"cmd_per_lun":3,"max_sectors":4,"ioeventfd":false,"bus":"pci.0","addr":"0x4"}',
      '-device {"driver":"dc-390","id":"scsi1","bus":"pci.0","addr":"0x5"}',
      '-device {"driver":"ahci","id":"sata0","bus":"pci.0","addr":"0x6"}',
      '-device {"driver":"virtio-serial-pci","id":"virtio-serial0","max_ports":5,"vectors":2,"bus":"pci.0","addr":"0x3"}',
      '-device {"driver":"usb-hub","id":"hub0","bus":"usb.0","port":"1"}',
      '-device {"driver":"usb-ccid","id":"ccid0","bus":"usb.0","port":"2"}'
    ]
  )
})

t.test('companions name their master; built-in controllers have no argument', async t => {
  const usb =
    "<controller type='usb' index='0' model='ich9-ehci1'><alias name='ua-usb'/></controller><controller type='usb' index='0' model='ich9-uhci1'/>"
  t.same(await argsOf(usb, { machine: 'q35' }), [
    '-device {"driver":"ich9-usb-ehci1","id":"ua-usb","bus":"pcie.0","addr":"0x1d.0x7"}',
    '-device {"driver":"ich9-usb-uhci1","masterbus":"ua-usb.0","firstport":0,"bus":"pcie.0","multifunction":true,"addr":"0x1d"}',
    '-global ICH9-LPC.noreboot=off'
  ])
  t.same(await argsOf("<controller type='usb' model='none'/>"), [])
  t.match(await errorOf(() => argsOf('', { missing: ['piix3-usb-uhci'] })), 'no model provided for USB controller')
})

t.test('ports and expanders', async t => {
  const argv = await argsOf(
    "<controller type='usb' model='none'/>" +
      pci(1, 'pcie-root-port', "<target chassis='9' port='0x20' hotplug='off'/><alias name='ua-port'/>") +
      pci(2, 'pcie-switch-upstream-port') +
      pci(3, 'pcie-switch-downstream-port') +
      pci(4, 'pcie-expander-bus', "<target busNr='90'><node>0</node></target>"),
    { machine: 'q35', outside: "<cpu><numa><cell id='0' cpus='0' memory='65536'/></numa></cpu>" }
  )
  t.same(
    argv.filter(line => line.startsWith('-device')),
    [
      '-device {"driver":"pcie-root-port","port":32,"chassis":9,"id":"ua-port","hotplug":false,"bus":"pcie.0","addr":"0x1"}',
      '-device {"driver":"x3130-upstream","id":"pci.2","bus":"ua-port","addr":"0x0"}',
      '-device {"driver":"xio3130-downstream","port":0,"chassis":3,"id":"pci.3","bus":"pci.2","addr":"0x0"}',
      '-device {"driver":"pxb-pcie","bus_nr":90,"id":"pci.4","numa_node":0,"bus":"pcie.0","addr":"0x2"}'
    ]
  )
})

t.test('what controllers cannot be', async t => {
  const scsi = (model: string, driver = '') =>
    `<controller type='scsi' model='${model}'><driver ${driver}/></controller>`
  for (const [devices, error, options] of [
    ["<controller type='ide' index='1'/>", 'Only a single IDE controller is supported for this machine type', {}],
    [
      "<controller type='ide'/>",
      'IDE controllers are unsupported for this QEMU binary or machine type',
      { machine: 'q35' }
    ],
    [scsi('buslogic'), 'Unsupported controller model: buslogic', {}],
    [scsi('lsilogic', "queues='2'"), "'queues' is only supported by virtio-scsi controller", {}],
    [scsi('lsilogic', "iothread='2'"), "'iothread' attribute only supported for virtio scsi controllers", {}],
    [scsi('virtio-scsi', "iothread='2'"), "controller iothread '2' not defined in iothreadid", {}],
    [
      scsi('lsisas1068'),
      "This QEMU doesn't support the LSI SAS1068 (MPT Fusion) controller",
      { missing: ['mptsas1068'] }
    ],
    [
      "<controller type='usb' model='qusb1'/>",
      "USB controller model type 'qusb1' or 'qusb2' is not supported in qemu",
      {}
    ],
    [
      "<controller type='usb' model='nec-xhci' ports='16'/>",
      "'nec-xhci' controller only supports up to '15' ports",
      {}
    ],
    ["<controller type='usb' model='ehci' ports='4'/>", "usb controller type 'ehci' doesn't support 'ports'", {}],
    [
      "<controller type='usb' model='ehci'/>",
      "USB controller model 'ehci' not supported in this QEMU binary",
      { missing: ['usb-ehci'] }
    ],
    [
      pci(1, 'pci-bridge', "<model name='pxb'/>"),
      "Option 'modelName' has invalid value for PCI controller with index '1'",
      {}
    ],
    [
      pci(1, 'pci-bridge', "<target port='1'/>"),
      "Option 'port' is not valid for PCI controller with index '1', model 'pci-bridge' and modelName 'pci-bridge'",
      {}
    ],
    [
      pci(1, 'pcie-root-port'),
      "The 'ioh3420' device is not supported by this QEMU binary",
      { machine: 'q35', missing: ['ioh3420', 'pcie-root-port'] }
    ],
    [pci(1, 'pcie-expander-bus'), 'pcie-expander-bus controllers are not supported with this machine type', {}],
    [
      pci(1, 'pci-expander-bus', '<target><node>0</node></target>'),
      "not present in the domain's <cpu><numa> array (0)",
      {}
    ],
    ["<hub type='usb'/>", 'usb-hub not supported by QEMU binary', { missing: ['usb-hub'] }],
    [
      "<interface type='user'><address type='unassigned'/></interface>",
      "address of type 'unassigned' is supported only for hostdevs",
      {}
    ],
    ["<input type='tablet' bus='usb'><acpi index='1'/></input>", 'ACPI index is only supported for PCI devices', {}]
  ] as [string, string, GuestOptions][]) {
    t.match(await errorOf(() => argvOf(devices, options)), error)
  }
})
