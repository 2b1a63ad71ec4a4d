// Addresses the user left open, chosen as libvirt does, bus by bus (qemuDomainAssignAddresses).
import type { DomainDef } from '../../../conf/domain-def.ts'
import { assignMemorySlots } from '../command/memory-hotplug.ts'
import type { QemuContext } from '../context.ts'
import { assignPciAddresses } from './pci.ts'
import { assignVirtioSerialAddresses } from './virtio-serial.ts'

/** Fills in every address; adds the controllers that takes. */
export function assignAddresses(def: DomainDef, _context: QemuContext): void {
  assignVirtioSerialAddresses(def)
  assignPciAddresses(def)
  assignMemorySlots(def)
}
