// A device's place on its bus, as -device options (qemuBuildDeviceAddressProps).
import type { Address } from '../../../conf/devices/device-info.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Command, Props } from './command.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** `bus`, `addr` and the like; empty for devices without an address. */
export function addressProps(command: Command, dev: { alias?: string; address?: Address; acpiIndex?: number }): Props {
  const { address } = dev
  if (!address) return {}
  switch (address.type) {
    case 'pci': {
      const fn = address.function === 0 ? '' : `.0x${address.function}`
      return {
        bus: pciBus(command, address.bus),
        multifunction: address.multifunction,
        addr: `0x${address.slot.toString(16)}${fn}`,
        'acpi-index': dev.acpiIndex
      }
    }
    case 'virtio-serial':
      return { bus: `virtio-serial${address.controller}.${address.bus}`, nr: address.port }
    case 'usb':
      return { bus: address.bus === 0 ? 'usb.0' : `usb${address.bus}.0`, port: address.port }
    default:
      return {}
  }
}

/** QEMU's name of a guest PCI bus: that of the controller with the bus's index. */
function pciBus(command: Command, index: number): string {
  const controller = command.def.devices.controllers.find(one => one.type === 'pci' && one.index === index)
  if (!controller?.alias) throw fail('VIR_ERR_INTERNAL_ERROR', `no PCI controller with index ${index}`)
  return controller.alias
}

interface VirtioOptions {
  iommu?: boolean
  ats?: boolean
  packed?: boolean
  pagePerVq?: boolean
}

/** Driver name and transport options of a virtio device (qemuBuildVirtioDevProps). */
export function virtioProps(
  base: string,
  model: string | undefined,
  address: Address | undefined,
  driver: VirtioOptions = {}
): Props & { driver: string } {
  const suffix = address?.type === 'pci' ? '-pci' : address?.type === 'ccw' ? '-ccw' : '-device'
  const kind = model?.replace(/^virtio-?(scsi|serial)?-?/, '')
  const transport = kind === 'transitional' || kind === 'non-transitional' ? `-${kind}` : ''
  return {
    driver: `${base}${suffix}${transport}`,
    iommu_platform: driver.iommu,
    ats: driver.ats,
    packed: driver.packed,
    'page-per-vq': driver.pagePerVq
  }
}
