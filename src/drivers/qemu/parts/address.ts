// A device's place on its bus, as -device options (qemuBuildDeviceAddressProps).
import { findController } from '../../../conf/controllers.ts'
import type { ControllerType } from '../../../conf/devices/controller.ts'
import { type Address, ccwText, type PciAddress, pciAddressText } from '../../../conf/devices/device-address.ts'
import { isUserAlias } from '../../../conf/devices/device-info.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { hasPciMultiBus, isPseries } from '../machine-type.ts'
import type { Builder, DeviceProps } from './builder.ts'
import { driveProps } from './drive-address.ts'
import type { Props } from './props.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** `bus`, `addr` and the like; empty for devices without an address. Who is no disk is a SCSI device. */
export function addressProps(to: Builder, dev: { alias?: string; address?: Address; acpiIndex?: number }): Props {
  const { address } = dev
  switch (address?.type) {
    case 'pci': {
      const fn = address.function === 0 ? '' : `.0x${address.function}`
      return {
        bus: pciBus(to, address),
        multifunction: address.multifunction,
        addr: `0x${address.slot.toString(16)}${fn}`,
        'acpi-index': dev.acpiIndex
      }
    }
    case 'usb':
      return { bus: `${controllerAliasOf(to, 'usb', address.bus)}.0`, port: address.port }
    case 'virtio-serial': {
      const controller = controllerAliasOf(to, 'virtio-serial', address.controller)
      return { bus: `${controller}.${address.bus}`, nr: address.port }
    }
    case 'spapr-vio':
      return { reg: address.reg || undefined }
    case 'ccw':
      return { devno: ccwText(address) }
    case 'isa':
      return { iobase: address.iobase ?? 0, irq: address.irq }
    case 'dimm':
      return { slot: address.slot, addr: address.base }
    case 'drive':
      return driveProps(to, 'scsi', address)
    default:
      return {}
  }
}

/** The alias of a controller (virDomainControllerAliasFind). */
export function controllerAliasOf({ def }: Builder, type: ControllerType, index: number): string {
  const found = findController(def, type, index)
  if (!found) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `Could not find ${type} controller with index ${index} required for device`)
  }
  if (found.alias !== undefined) return found.alias
  throw fail('VIR_ERR_INTERNAL_ERROR', `Device alias was not set for ${type} controller with index ${index} `)
}

/** QEMU's name of a guest PCI bus: the alias of its controller (qemuBuildDeviceAddressPCIGetBus). */
function pciBus({ def }: Builder, address: PciAddress): string {
  const { bus } = address
  const required = `required for device at address '${pciAddressText(address)}'`
  const found = findController(def, 'pci', bus)
  if (!found) throw fail('VIR_ERR_INTERNAL_ERROR', `Could not find PCI controller with index '${bus}' ${required}`)
  const { alias, model, pciModelName, target } = found
  if (alias === undefined) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `Device alias was not set for PCI controller with index '${bus}' ${required}`)
  }
  // root buses are part of the machine: QEMU does not hear what the user calls them
  if (isUserAlias(alias)) {
    if (model === 'pci-root' && !isPseries(def)) return hasPciMultiBus(def) ? 'pci.0' : 'pci'
    if (model === 'pcie-root') return 'pcie.0'
  }
  return pciModelName === 'spapr-pci-host-bridge' && (target?.index ?? 0) > 0 ? `${alias}.0` : alias
}

interface VirtioOptions {
  iommu?: boolean
  ats?: boolean
  packed?: boolean
  pagePerVq?: boolean
}

/** The end of a virtio device's name by the bus it is on. */
const VIRTIO_BUSES: Partial<Record<Address['type'], string>> = { pci: 'pci', 'virtio-mmio': 'device', ccw: 'ccw' }

/** Driver name and transport options of a virtio device (qemuBuildVirtioDevProps). */
export function virtioProps(
  base: string,
  model: string | undefined,
  address: Address | undefined,
  driver: VirtioOptions = {}
): DeviceProps {
  const bus = VIRTIO_BUSES[address?.type ?? 'unassigned']
  if (bus === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', `Unexpected address type for '${base}'`)
  const kind =
    model === 'virtio-transitional' || model === 'virtio-non-transitional' ? model.slice('virtio'.length) : ''
  return {
    driver: `${base}-${bus}${kind}`,
    iommu_platform: driver.iommu,
    ats: driver.ats,
    packed: driver.packed,
    'page-per-vq': driver.pagePerVq
  }
}
