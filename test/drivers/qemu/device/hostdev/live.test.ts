// Devices of the host plugged into a running guest, as such or as its cards: on a host of the test's own, which has VFIO.
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { parseDevice } from '../../../../../src/conf/device-xml.ts'
import type { HostdevDef } from '../../../../../src/conf/devices/hostdev.ts'
import type { InterfaceDef } from '../../../../../src/conf/devices/interface.ts'
import { onHost } from '../../../../helper/host-tree.ts'
import { StandInGuest } from '../../../../helper/stand-in-guest.ts'

const canLockMemory = spawnSync('prlimit', ['--memlock=unlimited:unlimited', 'true']).status === 0

const VFIO = { '/sys/kernel/iommu_groups/0/type': 'DMA', '/dev/vfio/vfio': '' }

const place = (bus: string) => `<address type='pci' domain='0' bus='0x${bus}' slot='0' function='0'/>`
const hostdev = (bus: string) =>
  `<hostdev mode='subsystem' type='pci'><source>${place(bus).replace(" type='pci'", '')}</source></hostdev>`
const card = (bus: string, last: string) =>
  `<interface type='hostdev'><mac address='52:54:00:00:00:${last}'/><source>${place(bus)}</source></interface>`

t.test('a PCI device is given to a guest once, whatever it is called', async t => {
  const guest = await StandInGuest.running(t)
  const { devices } = guest.domain.def
  devices.hostdevs.push(parseDevice(hostdev('70'), true)[1] as HostdevDef)
  devices.interfaces.push(parseDevice(card('71', '01'), true)[1] as InterfaceDef)
  const attach = (xml: string) => guest.failureOf('virDomainAttachDeviceFlags', { xml, flags: 1 })
  const added = () => guest.qemu.peer.orders.flatMap(({ command, args }) => (command === 'device_add' ? args.host : []))
  await onHost(VFIO, async () => {
    for (const bus of ['70', '71']) {
      const taken = `VIR_ERR_OPERATION_INVALID VIR_FROM_NONE: Requested operation is not valid: PCI device 0000:${bus}:00.0 is in use by driver QEMU, domain t-stand-in`
      t.equal(await attach(hostdev(bus)), taken)
      t.equal(await attach(card(bus, '02')), taken)
    }
    t.same(added(), [], 'QEMU is not told')
    t.same([devices.hostdevs.length, devices.interfaces.length], [1, 1])
    if (!canLockMemory) return t.comment('raising limits takes a right we lack')
    t.equal(await attach(card('72', '03')), '')
    t.equal(await attach(hostdev('73')), '')
    t.same(added(), ['0000:72:00.0', '0000:73:00.0'])
  })
  t.match(await attach(card('74', '04')), /^VIR_ERR_CONFIG_UNSUPPORTED .*host doesn't support passthrough/)
})
