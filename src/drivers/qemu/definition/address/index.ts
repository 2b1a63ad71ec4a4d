// Addresses the user left open, chosen as libvirt does, bus by bus (qemuDomainAssignAddresses).
import type { DomainDef } from '../../../../conf/domain-def.ts'
import type { QemuContext } from '../../context.ts'
import { assignMemorySlots } from '../../device/memory/align.ts'
import { assignCcwAddresses } from './ccw.ts'
import { assignPciAddresses } from './pci.ts'
import { assignSpaprVioAddresses } from './spapr-vio.ts'
import { assignUsbAddresses, hasUsbPorts } from './usb.ts'
import { assignVirtioMmioAddresses } from './virtio-devices.ts'
import { assignVirtioSerialAddresses } from './virtio-serial.ts'

/** libvirt's order; earlier buses take devices from later ones, and add controllers that need a place there. */
const BUSES: ((def: DomainDef, context: QemuContext) => void)[] = [
  assignVirtioSerialAddresses,
  assignSpaprVioAddresses,
  assignCcwAddresses,
  assignVirtioMmioAddresses,
  assignPciAddresses,
  assignUsbAddresses,
  assignMemorySlots
]

/**
 * Fills in every address; adds the controllers and hubs that takes.
 * @param isNew false: USB ports are left as they are unless every device has one, as QEMU may have chosen the others
 */
export function assignAddresses(def: DomainDef, context: QemuContext, isNew = true): void {
  for (const assign of BUSES) {
    if (assign !== assignUsbAddresses || isNew || hasUsbPorts(def)) assign(def, context)
  }
}
