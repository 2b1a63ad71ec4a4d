// Demands of a call's row on the guest, and the definitions a call means: live, persistent or both.
import type { DomainDef } from '../../../conf/domain-def.ts'
import { virDomainModificationImpact } from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import type { Impact, Meant, Needs } from '../../method.ts'
import type { QemuDomain } from './domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')
const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')

const { VIR_DOMAIN_AFFECT_LIVE, VIR_DOMAIN_AFFECT_CONFIG } = virDomainModificationImpact

type Guest = Pick<QemuDomain, 'isActive' | 'checkActive' | 'isPersistent' | 'def' | 'newDef'>

/** True for what needs a running guest. */
export const needsActive = (needs: Needs | undefined): boolean =>
  needs === 'active' || (typeof needs === 'object' && 'active' in needs)

/** @throws VIR_ERR_OPERATION_INVALID when the guest is not in the state its API needs */
export function checkNeeds(domain: Pick<Guest, 'isActive' | 'checkActive'>, needs: Needs): void {
  if (domain.isActive === needsActive(needs)) return
  if (needs === 'active') domain.checkActive()
  const message = typeof needs === 'string' ? 'domain is already running' : Object.values(needs)[0]
  throw fail('VIR_ERR_OPERATION_INVALID', message)
}

/**
 * The definitions that flags name; VIR_DOMAIN_AFFECT_CURRENT is what there is.
 * Source: virDomainObjGetDefs, virDomainObjGetOneDefState, 9.0.0.
 * @throws VIR_ERR_INVALID_ARG for both where one is wanted, VIR_ERR_OPERATION_INVALID for one that is not there
 */
export function resolveImpact(domain: Guest, impact: Impact, bits: number): Meant & { def: DomainDef } {
  let live = (bits & VIR_DOMAIN_AFFECT_LIVE) !== 0
  let config = (bits & VIR_DOMAIN_AFFECT_CONFIG) !== 0
  if (live && config && impact === 'one') {
    throw badArgument("Flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' are mutually exclusive")
  }
  if (!live && !config) {
    live = domain.isActive
    config = !domain.isActive
  }
  if (live) domain.checkActive()
  if (config && !domain.isPersistent) {
    throw failDomain('VIR_ERR_OPERATION_INVALID', 'transient domains do not have any persistent config')
  }
  return {
    def: live ? domain.def : domain.newDef!,
    ...(live && { live: domain.def }),
    ...(config && { config: domain.newDef! })
  }
}
