// Checks of a guest about to start, of settings that a definition may have but not run with (qemuProcessStartValidate).
import type { DomainDef } from '../../../conf/domain-def.ts'
import { checkAll, orThrow, type Refuse } from '../../../conf/refuse.ts'
import type { QemuContext } from '../context.ts'
import { validateFeaturesStart, validateTscStart } from '../cpu/guest.ts'
import { validateDisksStart } from '../device/disk/validate.ts'
import { validateGraphicsStart } from '../device/graphics/prepare.ts'

/** libvirt's checks, in its order. */
const CHECKS: ((def: DomainDef, context: QemuContext) => void)[] = [
  validateGraphicsStart,
  validateFeaturesStart,
  validateDisksStart,
  validateTscStart
]

/** Checks a guest about to start. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateStart(def: DomainDef, context: QemuContext, refuse: Refuse = orThrow): void {
  checkAll(
    refuse,
    CHECKS.map(check => () => check(def, context))
  )
}
