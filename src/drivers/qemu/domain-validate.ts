// QEMU's domain-wide checks (qemuValidateDomainDef).
import type { DomainDef } from '../../conf/domain-def.ts'
import { validateConsoles } from './command/chardev.ts'
import type { QemuContext } from './context.ts'

/** libvirt's checks, in its order. */
const CHECKS: ((def: DomainDef, context: QemuContext) => void)[] = [validateConsoles]

export function validateDomain(def: DomainDef, context: QemuContext): void {
  for (const check of CHECKS) check(def, context)
}
