import t from 'tap'
import { pciAddressText } from '../../../../../src/conf/devices/device-address.ts'
import { eachDeviceInfo } from '../../../../../src/conf/devices/index.ts'
import type { InterfaceDef } from '../../../../../src/conf/devices/interface.ts'
import { ensurePciAddress } from '../../../../../src/drivers/qemu/definition/address/pci.ts'
import { define, errorOf, type GuestOptions, testContext } from '../../../../helper/definition.ts'

/** `name place` of every device on PCI, in libvirt's order; + says that function 0 knows of others. */
async function placesOf(devices: string, options: GuestOptions = {}): Promise<string[]> {
  const out: string[] = []
  for (const [kind, dev] of eachDeviceInfo((await define(devices, options)).devices)) {
    const { address, model } = dev as { address?: InterfaceDef['address']; model?: unknown }
    if (address?.type !== 'pci') continue
    const name = typeof model === 'string' ? model : kind
    out.push(`${name} ${pciAddressText(address).slice(5)}${address.multifunction ? '+' : ''}`)
  }
  return out
}
const nic = (model: string, place = '') => `<interface type='user'><model type='${model}'/>${place}</interface>`
const at = (bus: number, slot: number, fn = 0) => `<address type='pci' bus='${bus}' slot='${slot}' function='${fn}'/>`
const pci = (index: number, model: string, inner = '') =>
  `<controller type='pci' index='${index}' model='${model}'>${inner}</controller>`

t.test('440FX: one slot each, after the chipset and the display', async t => {
  t.same(
    await placesOf(
      `<video><model type='vga'/></video>${nic('virtio')}${nic('e1000', at(0, 4))}<controller type='ide'/>` +
        "<sound model='ac97'/><watchdog model='i6300esb'/><disk device='cdrom'><target dev='hda' bus='ide'/></disk>"
    ),
    [
      'virtio 00:03.0',
      'e1000 00:04.0',
      'ac97 00:05.0',
      'videos 00:02.0',
      'controllers 00:01.1',
      'piix3-uhci 00:01.2',
      'i6300esb 00:07.0',
      'virtio 00:06.0'
    ]
  )
})

t.test('Q35: a root port for each Express device, one more for hotplug, a bridge for conventional devices', async t => {
  t.same(await placesOf(nic('virtio') + nic('e1000'), { machine: 'q35' }), [
    'virtio 02:00.0',
    'e1000 03:01.0',
    'qemu-xhci 04:00.0',
    'controllers 00:1f.2',
    'pcie-root-port 00:01.0+',
    'pcie-root-port 00:01.1',
    'pcie-to-pci-bridge 01:00.0',
    'pcie-root-port 00:01.2',
    'pcie-root-port 00:01.3',
    'pcie-root-port 00:01.4',
    'virtio 05:00.0'
  ])
  const old = await placesOf(nic('e1000'), { machine: 'q35', missing: ['pcie-pci-bridge'] })
  t.match(old.join(), 'dmi-to-pci-bridge 00:1e.0')
})

t.test('usual places of Q35 devices, and the ICH9 USB controller on one slot', async t => {
  const usb = ['ehci1', 'uhci1', 'uhci2', 'uhci3'].map(m => `<controller type='usb' index='0' model='ich9-${m}'/>`)
  t.same(
    (
      await placesOf(
        `${usb.join('')}<sound model='ich9'/><video><model type='vga'/></video><memballoon model='none'/>`,
        { machine: 'q35' }
      )
    ).slice(0, 7),
    [
      'ich9 00:1b.0',
      'videos 00:01.0',
      'ich9-ehci1 00:1d.7',
      'ich9-uhci1 00:1d.0+',
      'ich9-uhci2 00:1d.1',
      'ich9-uhci3 00:1d.2',
      'controllers 00:1f.2'
    ]
  )
})

t.test('functions that share a slot', async t => {
  const places = await placesOf(nic('virtio', at(0, 9, 1)) + nic('e1000', at(0, 9)) + nic('rtl8139', at(0, 8)))
  t.same(places.slice(0, 3), ['virtio 00:09.1', 'e1000 00:09.0+', 'rtl8139 00:08.0'])
})

t.test('defaults of PCI controllers', async t => {
  const { devices } = await define(
    pci(1, 'pci-bridge') + pci(2, 'pci-expander-bus') + pci(3, 'pci-expander-bus', "<target busNr='100'/>")
  )
  t.same(
    devices.controllers.filter(({ type }) => type === 'pci').map(({ pciModelName, target }) => [pciModelName, target]),
    [
      [undefined, undefined],
      ['pci-bridge', { chassisNr: 1 }],
      ['pxb', { busNr: 98 }],
      ['pxb', { busNr: 100 }]
    ]
  )
})

t.test('places that cannot be', async t => {
  const q35 = { machine: 'q35' }
  for (const [devices, error, options] of [
    [nic('virtio', at(0, 1)), 'Attempted double use of PCI Address 0000:00:01.0', {}],
    [
      nic('virtio', at(0, 5)) + nic('e1000', at(0, 5)),
      'VIR_ERR_XML_ERROR: XML error: Attempted double use of PCI Address 0000:00:05.0',
      {}
    ],
    [nic('virtio', "<address type='pci' domain='1' slot='3'/>"), 'Only PCI domain 0 is available', {}],
    [nic('virtio', at(1, 0)), 'Invalid PCI address 0000:01:00.0. slot must be >= 1', {}],
    [nic('virtio', at(1, 1)) + pci(1, 'pcie-root-port'), 'slot must be <= 0', q35],
    [pci(1, 'pcie-switch-downstream-port'), "model='pcie-switch-downstream-port', but none is available", q35],
    [
      pci(1, 'pcie-switch-upstream-port', at(0, 3)),
      'It requires a controller that accepts a pcie-switch-upstream-port.',
      q35
    ],
    [pci(1, 'pci-bridge', at(2, 3)) + pci(2, 'pci-bridge'), 'index must be larger than bus', {}],
    [
      "<controller type='usb' index='0' model='piix3-uhci'><address type='pci' slot='5'/></controller>",
      'PIIX3 USB controller at index 0 must have PCI address 0:0:1.2',
      {}
    ],
    [
      "<controller type='sata' index='0'><address type='pci' slot='5'/></controller>",
      'Primary SATA controller must have PCI address 0:0:1f.2',
      q35
    ],
    [
      "<controller type='isa' index='0'/>",
      'Cannot automatically add a new PCI bus for a device with connect flags 00',
      {}
    ],
    [
      pci(1, 'pci-expander-bus', "<target busNr='2'/>") + pci(2, 'pci-expander-bus'),
      'No free busNr lower than current lowest busNr',
      {}
    ]
  ] as const) {
    t.match(await errorOf(() => define(devices, options)), error)
  }
})

t.test('a running guest takes devices on ports that allow it', async t => {
  const context = testContext()
  const [card] = (await define(nic('virtio'))).devices.interfaces
  const fresh = (): InterfaceDef => ({ ...card!, address: undefined })
  const full =
    pci(1, 'pcie-root-port', "<target hotplug='off'/>") +
    "<controller type='usb' model='none'/><memballoon model='none'/>"
  const fixed = await define(full, { machine: 'q35' })
  t.match(await errorOf(() => ensurePciAddress(fixed, 'interfaces', fresh(), context)), 'No more available PCI slots')
  const open = await define('', { machine: 'q35' })
  const dev = fresh()
  ensurePciAddress(open, 'interfaces', dev, context)
  t.match(dev.address, { type: 'pci', bus: 3, slot: 0 })
  const second = { ...fresh(), address: { ...dev.address, function: 1 } } as InterfaceDef
  t.match(await errorOf(() => ensurePciAddress(open, 'interfaces', second, context)), 'function=0')
})
