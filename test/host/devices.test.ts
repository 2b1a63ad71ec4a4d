import t from 'tap'
import { hasVfio, isPciExpress, scsiGenericPath, usbDevicesOfHost } from '../../src/host/devices.ts'
import { errorOf } from '../helper/definition.ts'
import { type HostFiles, onHost } from '../helper/host-tree.ts'

const unit = (adapter: string) => ({ protocol: 'adapter' as const, adapter, bus: 0, target: 1, unit: 2n })

t.test('the generic node of a SCSI unit', () =>
  onHost({ '/sys/bus/scsi/devices/3:0:1:2/scsi_generic/sg5/dev': '21:5\n' }, async () => {
    t.equal(scsiGenericPath(unit('scsi_host3')), '/dev/sg5')
    t.equal(
      await errorOf(() => scsiGenericPath(unit('scsi_host4'))),
      "VIR_ERR_SYSTEM_ERROR: cannot open directory '/sys/bus/scsi/devices/4:0:1:2/scsi_generic': No such file or directory"
    )
    for (const adapter of ['3', 'scsi_host', 'scsi_hostx', 'scsi_host-1', 'host3', 'scsi_host3/../..']) {
      t.equal(
        await errorOf(() => scsiGenericPath(unit(adapter))),
        `VIR_ERR_INTERNAL_ERROR: internal error: Cannot parse adapter '${adapter}'`
      )
    }
  })
)

function usb(entry: string, facts: Record<string, string>): HostFiles {
  return Object.fromEntries(
    Object.entries(facts).map(([name, value]) => [`/sys/bus/usb/devices/${entry}/${name}`, `${value}\n`])
  )
}

t.test('USB devices: interfaces are none', async t => {
  const files = {
    ...usb('usb1', { idVendor: '1d6b', idProduct: '0002', busnum: '1', devnum: '1' }),
    ...usb('1-1.2', { idVendor: '046d', idProduct: 'c52b', busnum: '1', devnum: '12' }),
    ...usb('1-1.2:1.0', { bInterfaceClass: '03', idVendor: 'ffff', idProduct: 'ffff', busnum: '1', devnum: '12' }),
    ...usb('1-9', { removable: 'unknown' })
  }
  await onHost(files, () => {
    t.same(
      usbDevicesOfHost().sort((a, b) => a.device - b.device),
      [
        { vendor: 0x1d6b, product: 2, bus: 1, device: 1 },
        { vendor: 0x046d, product: 0xc52b, bus: 1, device: 12 }
      ]
    )
  })
  await onHost({}, async () => {
    t.equal(
      await errorOf(usbDevicesOfHost),
      "VIR_ERR_SYSTEM_ERROR: cannot open directory '/sys/bus/usb/devices': No such file or directory"
    )
  })
})

/** A configuration space with a list of capabilities: place, id, place of the next. */
function config(size: number, status: number, ...list: [at: number, id: number, next: number][]): Buffer {
  const bytes = Buffer.alloc(size)
  bytes[6] = status
  bytes[0x34] = list[0]?.[0] ?? 0
  for (const [at, id, next] of list) bytes.set([id, next], at)
  return bytes
}

t.test('PCI Express: by the size of its configuration space, else by its capabilities', async t => {
  const POWER = 1
  const MSI = 5
  const EXPRESS = 0x10
  for (const [what, expected, bytes] of [
    ['extended space', true, config(4096, 0)],
    ['conventional space without a list', false, config(256, 0, [0x40, EXPRESS, 0])],
    ['an empty list', false, config(256, 0x10)],
    ['the only entry', true, config(256, 0x10, [0x40, EXPRESS, 0])],
    ['the last entry', true, config(256, 0x10, [0x40, POWER, 0x50], [0x50, MSI, 0x60], [0x60, EXPRESS, 0])],
    ['not in the list', false, config(256, 0x10, [0x40, POWER, 0x50], [0x50, MSI, 0])],
    ['a list that goes in circles', false, config(256, 0x10, [0x40, POWER, 0x50], [0x50, MSI, 0x40])],
    ['an entry that points at itself', false, config(256, 0x10, [0x40, POWER, 0x40])],
    ['a list that leads into the header', false, config(256, 0x10, [0x40, POWER, 0x10])],
    ['a list that ends at the edge', false, config(256, 0x10, [0x40, POWER, 0xff])]
  ] as const) {
    await onHost({ '/sys/bus/pci/devices/0000:03:01.0/config': bytes }, () => {
      t.equal(isPciExpress({ type: 'pci', domain: 0, bus: 3, slot: 1, function: 0 }), expected, what)
      t.equal(isPciExpress({ type: 'pci', domain: 0, bus: 4, slot: 1, function: 0 }), true, 'one that is not there')
    })
  }
})

t.test('VFIO takes an IOMMU and its own device', async t => {
  const groups = { '/sys/kernel/iommu_groups/0/type': 'DMA\n' }
  const device = { '/dev/vfio/vfio': '' }
  for (const [files, expected] of [
    [{}, false],
    [groups, false],
    [device, false],
    [{ ...groups, ...device }, true]
  ] as const) {
    await onHost(files, () => t.equal(hasVfio(), expected, Object.keys(files).join(' ')))
  }
})
