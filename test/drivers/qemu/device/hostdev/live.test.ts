// Devices of the host plugged into a running guest, as such or as its cards: on a host of the test's own, which has VFIO.
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { onHost } from '../../../../helper/host-tree.ts'
import { StandInGuest } from '../../../../helper/stand-in-guest.ts'
import type { Order } from '../../../../helper/stand-in-qemu.ts'

const noLimits =
  spawnSync('prlimit', ['--memlock=unlimited:unlimited', 'true']).status !== 0 && 'raising limits takes a right we lack'

const VFIO = { '/sys/kernel/iommu_groups/0/type': 'DMA', '/dev/vfio/vfio': '' }

const place = (bus: string) => `<address type='pci' domain='0' bus='${bus}' slot='0' function='0'/>`
const hostdev = (bus: string) =>
  `<hostdev mode='subsystem' type='pci'><source>${place(bus).replace(" type='pci'", '')}</source></hostdev>`
const card = (bus: string, last: string) =>
  `<interface type='hostdev'><mac address='52:54:00:00:00:${last}'/><source>${place(bus)}</source></interface>`

t.test('a PCI device is given to a guest once, whatever it is called', { skip: noLimits }, async t => {
  const guest = await StandInGuest.running(t, {
    answers: {
      device_del({ peer, args, id }: Order) {
        peer.send({ return: {}, id })
        peer.event('DEVICE_DELETED', { device: args.id, path: `/machine/peripheral/${args.id}` })
      }
    }
  })
  const failureOf = (how: string, xml: string) => guest.failureOf(`virDomain${how}DeviceFlags`, { xml, flags: 1 })
  const added = () => guest.qemu.peer.orders.flatMap(({ command, args }) => (command === 'device_add' ? args.host : []))
  const taken = (bus: string) =>
    `VIR_ERR_OPERATION_INVALID VIR_FROM_NONE: Requested operation is not valid: PCI device 0000:${bus}:00.0 is in use by driver QEMU, domain t-stand-in`
  await onHost(VFIO, async () => {
    t.equal(await failureOf('Attach', hostdev('70')), '')
    t.equal(await failureOf('Attach', card('71', '01')), '')
    t.same(added(), ['0000:70:00.0', '0000:71:00.0'])
    for (const bus of ['70', '71']) {
      t.equal(await failureOf('Attach', hostdev(bus)), taken(bus))
      t.equal(await failureOf('Attach', card(bus, '02')), taken(bus))
    }
    t.equal(added().length, 2, 'QEMU is not told')
    t.equal(guest.domain.def.devices.interfaces.length, 1)
    t.equal(await failureOf('Detach', card('71', '01')), '')
    t.equal(await failureOf('Attach', hostdev('71')), '')
  })
  t.match(await failureOf('Attach', card('72', '03')), /^VIR_ERR_CONFIG_UNSUPPORTED .*host doesn't support passthrough/)
})
