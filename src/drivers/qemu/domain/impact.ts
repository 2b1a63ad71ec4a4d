// The definitions a call means: live, persistent or both (virDomainModificationImpact).
import type { DomainDef } from '../../../conf/domain-def.ts'
import { virDomainModificationImpact } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Affected } from './definitions.ts'
import type { QemuDomain } from './domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')

const { VIR_DOMAIN_AFFECT_LIVE, VIR_DOMAIN_AFFECT_CONFIG } = virDomainModificationImpact

/**
 * The definitions a change applies to: the live one, the persistent one, or both; CURRENT is what there is.
 * Source: virDomainObjUpdateModificationImpact, 9.0.0.
 */
export function affected(domain: QemuDomain, bits: number): Affected {
  let live = (bits & VIR_DOMAIN_AFFECT_LIVE) !== 0
  let config = (bits & VIR_DOMAIN_AFFECT_CONFIG) !== 0
  if (!live && !config) {
    live = domain.isActive
    config = !domain.isActive
  }
  if (live) domain.checkActive()
  if (config && !domain.isPersistent) {
    throw failDomain('VIR_ERR_OPERATION_INVALID', 'transient domains do not have any persistent config')
  }
  return { live, config }
}

/** The one definition a query reads. @throws when both are asked for */
export function queried(domain: QemuDomain, bits: number): DomainDef {
  if ((bits & VIR_DOMAIN_AFFECT_LIVE) !== 0 && (bits & VIR_DOMAIN_AFFECT_CONFIG) !== 0) {
    throw fail(
      'VIR_ERR_INVALID_ARG',
      "flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' are mutually exclusive"
    )
  }
  return affected(domain, bits).live ? domain.def : domain.newDef!
}
