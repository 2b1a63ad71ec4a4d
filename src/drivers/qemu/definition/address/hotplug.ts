// The address of a device that comes to a running guest (qemuDomainEnsurePCIAddress, qemuDomainEnsureVirtioAddress, …).
import type { Address } from '../../../../conf/devices/device-address.ts'
import { type AnyDevice, type DeviceKind, familyOf } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import type { QemuContext } from '../../context.ts'
import { assignMemorySlots } from '../../device/memory/align.ts'
import { isS390 } from '../../machine-type.ts'
import { assignCcwAddresses } from './ccw.ts'
import { ensurePciAddress } from './pci.ts'
import { ensureUsbAddress, hasUsbPorts } from './usb.ts'
import { assignVirtioSerialAddresses } from './virtio-serial.ts'

/**
 * Gives a device the first place that is free where it belongs, or checks the one it has. The definition does not have
 * it yet, and gets no bus for it.
 * @throws VIR_ERR_INTERNAL_ERROR, VIR_ERR_XML_ERROR where there is no place
 */
export function ensureAddress(def: DomainDef, kind: DeviceKind, dev: AnyDevice, context: QemuContext): void {
  const isOn = (type: Address['type']) => dev.address === undefined || dev.address.type === type
  const isCcw = isS390(def) && dev.address?.type !== 'pci'
  if (!isCcw && isOn('pci')) ensurePciAddress(def, kind, dev, context)
  if (familyOf(kind).isUsb?.(dev) && isOn('usb') && hasUsbPorts(def)) ensureUsbAddress(def, dev)
  const tried = withDevice(def, kind, dev)
  if (isCcw) assignCcwAddresses(tried)
  if (kind === 'channels' || kind === 'consoles') assignVirtioSerialAddresses(tried)
  if (kind === 'memories') assignMemorySlots(tried)
}

/** A definition that has the device, too; all others are the same objects. */
function withDevice(def: DomainDef, kind: DeviceKind, dev: AnyDevice): DomainDef {
  const devices = { ...def.devices, controllers: [...def.devices.controllers] }
  return { ...def, devices: { ...devices, [kind]: [...def.devices[kind], dev] } }
}
