import t from 'tap'
import { ensureUsbAddress } from '../../../../../src/drivers/qemu/definition/address/usb.ts'
import { define, errorOf } from '../../../../helper/definition.ts'

const tablet = (place = '') => `<input type='tablet' bus='usb'>${place}</input>`
const hub = (place = '') => `<hub type='usb'>${place}</hub>`
const at = (bus: number, port?: string) => `<address type='usb' bus='${bus}'${port ? ` port='${port}'` : ''}/>`
const usb = (index: number, model: string, more = '') =>
  `<controller type='usb' index='${index}' model='${model}' ${more}/>`

async function portsOf(devices: string): Promise<string[]> {
  const { inputs, hubs } = (await define(devices)).devices
  return [...hubs, ...inputs].flatMap(({ address }) =>
    address?.type === 'usb' ? [`${address.bus}:${address.port}`] : []
  )
}

t.test('the first free port over all controllers; hubs when there are too few', async t => {
  t.same(await portsOf(tablet() + tablet()), ['0:1', '0:2'])
  t.same(await portsOf(tablet().repeat(3)), ['0:1', '0:2', '0:1.1', '0:1.2'])
  t.same(await portsOf(usb(0, 'piix3-uhci') + usb(2, 'qemu-xhci', "ports='1'") + tablet().repeat(3)), [
    '0:1',
    '0:2',
    '2:1'
  ])
  t.same(await portsOf(hub(at(0, '2')) + tablet(at(0, '2.8')) + tablet() + tablet()), ['0:2', '0:2.8', '0:1', '0:2.1'])
  t.same(await portsOf(usb(0, 'ehci') + usb(1, 'ehci') + tablet(at(1))), ['1:1'])
})

t.test('ports that cannot be', async t => {
  for (const [devices, error] of [
    [tablet(at(3, '1')), 'Missing USB bus 3'],
    [tablet(at(3)), 'USB bus 3 requested but no controller with that index is present'],
    [tablet(at(0, '3')), 'requested USB port 3 not present on USB bus 0'],
    [tablet(at(0, '1.1')), 'there is no hub at port 1 in USB address bus: 0 port: 1.1'],
    [tablet(at(0, '9.1')), 'port 9 out of range in USB address bus: 0 port: 9.1'],
    [tablet(at(0, '1')).repeat(2), 'Duplicate USB address bus 0 port 1'],
    [hub(at(0, '1')).repeat(2), 'Duplicate USB hub on bus 0 port 1'],
    [usb(0, 'ehci').repeat(2), 'Duplicate USB controllers with index 0'],
    [tablet(at(0)).repeat(3) + usb(0, 'piix3-uhci') + usb(1, 'ehci'), 'No free USB ports'],
    [
      `<controller type='usb' model='none'/><disk device='cdrom'><target dev='sda' bus='usb'/></disk>`,
      'USB is disabled for this domain'
    ]
  ] as const) {
    t.match(await errorOf(() => define(devices)), error)
  }
})

t.test('a device that comes to a running guest', async t => {
  const def = await define(tablet())
  const dev = {}
  ensureUsbAddress(def, dev)
  t.same(dev, { address: { type: 'usb', bus: 0, port: '2' } })
  t.match(
    await errorOf(() => ensureUsbAddress(def, { address: { type: 'usb', bus: 0, port: '1' } })),
    'Duplicate USB address'
  )
})

t.test('ports are given out in the order in which libvirt goes over devices', async t => {
  const { devices } = await define(
    "<redirdev bus='usb' type='spicevmc'/><graphics type='spice'/><input type='keyboard' bus='usb'/>" +
      "<filesystem type='mount'><driver type='mtp'/><source dir='/a'/><target dir='t'/></filesystem>" +
      "<sound model='usb'/><disk type='file' device='disk'><source file='/x'/><target dev='sda' bus='usb'/></disk>" +
      usb(0, 'qemu-xhci', "ports='8'")
  )
  const families = [devices.disks, devices.sounds, devices.inputs, devices.filesystems, devices.redirdevs]
  const ports = families.map(list => list.find(({ address }) => address?.type === 'usb')?.address)
  t.match(
    ports,
    ['1', '2', '3', '4', '5'].map(port => ({ port }))
  )
})
