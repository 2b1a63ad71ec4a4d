// The order in which PCI devices get their places, and those that are left out (qemuDomainAssignDevicePCISlots).
import type { ControllerDef } from '../../../../conf/devices/controller.ts'
import { isUsb2 } from '../../../../conf/devices/controller-models.ts'
import { isPciAddressWanted, type PciAddress, pciAddressOf } from '../../../../conf/devices/device-address.ts'
import type { HostdevDef } from '../../../../conf/devices/hostdev.ts'
import type { AnyDevice, DeviceKind, Devices } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { QemuContext } from '../../context.ts'
import type { PciBuses } from './pci-buses.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Devices of one family that want a place on PCI if they have no other. */
interface Turn<K extends DeviceKind> {
  kind: K
  wants(dev: Devices[K][number]): boolean
}
const turn = <K extends DeviceKind>(kind: K, wants: Turn<K>['wants'] = () => true): Turn<DeviceKind> =>
  ({ kind, wants }) as Turn<DeviceKind>

const NOT_PCI_SOUND: ReadonlySet<string> = new Set(['sb16', 'pcspk', 'usb'])
const NO_VIDEO: ReadonlySet<string | undefined> = new Set(['none', 'ramfb'])

/** Controllers other than PCI's own that have a place on PCI. */
function isPlacedController({ type, model, index }: ControllerDef): boolean {
  if (type === 'pci' || type === 'fdc' || type === 'ccid') return false
  if (type === 'usb') return model !== 'none'
  if (type === 'ide') return index !== 0
  return !(type === 'scsi' && model === 'ncr53c90')
}

/** Host devices that QEMU shows the guest on PCI. */
function isPciHostdev({ source }: HostdevDef): boolean {
  return source.type === 'pci' || source.type === 'scsi_host' || (source.type === 'mdev' && source.model === 'vfio-pci')
}

/** The order, kept as it was with the oldest QEMU, so that guests find their devices where they were. */
const ORDER: readonly Turn<DeviceKind>[] = [
  turn('controllers', ({ type, model }) => type === 'pci' && model !== 'pci-root' && model !== 'pcie-root'),
  turn('filesystems', ({ driver }) => driver?.type !== 'mtp'),
  turn('interfaces', ({ type, model }) => type !== 'hostdev' && model !== 'usb-net'),
  turn('sounds', ({ model }) => !NOT_PCI_SOUND.has(model)),
  turn('controllers', isPlacedController),
  turn('disks', ({ target }) => target?.bus === 'virtio'),
  turn('interfaces', ({ source }) => 'device' in source && source.device.type === 'pci'),
  turn('hostdevs', isPciHostdev),
  turn('memballoons', ({ model }) => model !== 'none'),
  turn('rngs'),
  turn('watchdogs', ({ model }) => model === 'i6300esb'),
  turn('videos', ({ model }) => !NO_VIDEO.has(model?.type)),
  turn('shmems'),
  turn('inputs', ({ bus }) => bus === 'virtio'),
  turn('serials', ({ target }) => target.type === 'pci-serial'),
  turn('iommus', ({ model }) => model === 'virtio' || model === 'amd'),
  turn('vsocks'),
  turn('memories', ({ model }) => model === 'virtio-pmem' || model === 'virtio-mem'),
  turn('cryptos'),
  turn('panics', ({ model }) => model === 'pvpanic'),
  turn('pstores')
]

/** Needs of a device from its place: connection flags, and the isolation group it must be kept in. */
export interface PlaceNeeds {
  flags: number
  isolationGroup: number
}
export type NeedsOf = (kind: DeviceKind, dev: AnyDevice) => PlaceNeeds

/** Gives every device without a place one; in the trial run the places are only counted. */
export function placeDevices(def: DomainDef, buses: PciBuses, needsOf: NeedsOf, { qemu }: QemuContext): void {
  for (const { kind, wants } of ORDER) {
    for (const dev of [...def.devices[kind]] as AnyDevice[]) {
      if (!wants(dev as never)) continue
      if (!isPciAddressWanted(dev)) {
        if (kind === 'disks') checkVirtioDisk(dev, qemu.has('virtio-mmio'))
        continue
      }
      const needs = needsOf(kind, dev)
      const address =
        kind === 'controllers' && isUsb2(dev as ControllerDef)
          ? placeUsb2(dev as ControllerDef, def, buses, needs)
          : buses.reserveNext(needs.flags, needs.isolationGroup)
      if (!address) continue
      if (!buses.canGrow) dev.address = { ...address, ...zpciOf(dev) }
    }
  }
}

const zpciOf = ({ address }: AnyDevice) => (address?.type === 'pci' && address.zpci ? { zpci: address.zpci } : {})

/** virtio disks are on PCI, on s390's channel bus or memory mapped. */
function checkVirtioDisk({ address }: AnyDevice, hasMmio: boolean): void {
  if (address === undefined || address.type === 'pci' || address.type === 'ccw') return
  if (address.type === 'virtio-mmio' && hasMmio) return
  throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `virtio disk cannot have an address of type '${address.type}'`)
}

/** The function each part of an ICH9 USB controller has on their common slot. */
const USB2_FUNCTIONS: Partial<Record<string, number>> = {
  'ich9-ehci1': 7,
  'ich9-uhci1': 0,
  'ich9-uhci2': 1,
  'ich9-uhci3': 2
}

/** Parts of one ICH9 USB controller share a slot: with the first of them that has one. */
function placeUsb2(dev: ControllerDef, def: DomainDef, buses: PciBuses, needs: PlaceNeeds): PciAddress | undefined {
  const fn = USB2_FUNCTIONS[dev.model ?? ''] ?? 0
  const multifunction = dev.model === 'ich9-uhci1' ? { multifunction: true } : {}
  const sibling = def.devices.controllers.find(one => isUsb2(one) && one.index === dev.index && pciAddressOf(one))
  if (!sibling) return { ...buses.reserveNext(needs.flags, needs.isolationGroup, fn), ...multifunction }
  const { domain, bus, slot } = pciAddressOf(sibling)!
  const address: PciAddress = { type: 'pci', domain, bus, slot, function: fn, ...multifunction }
  buses.reserve(address, needs.flags, needs.isolationGroup)
  dev.address = address
  return undefined
}
