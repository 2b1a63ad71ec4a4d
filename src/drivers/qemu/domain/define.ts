// A new definition of the guest (qemuDomainDefineXMLFlags).
import { checkDefinable } from '../../../conf/domain/identity.ts'
import { virDomainDefineFlags, virDomainEventDefinedDetailType, virDomainEventType } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type GuestHandle, handleOf } from '../../connection.ts'
import { type Identity, knownGuest } from '../../known-guest.ts'
import { loadDomain } from '../definition/passes.ts'
import type { QemuDomain } from './domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** @throws as libvirt where only name or uuid is this guest's, VIR_ERR_OPERATION_UNSUPPORTED for another guest */
export function checkOwn(domain: QemuDomain, wanted: Identity): void {
  if (domain.removed) throw fail('VIR_ERR_OPERATION_FAILED', `domain '${domain.name}' is already being removed`)
  if (knownGuest(wanted, [domain])) return
  throw fail(
    'VIR_ERR_OPERATION_UNSUPPORTED',
    `this process serves only domain '${domain.name}', domain '${wanted.name}' needs one of its own`
  )
}

/**
 * Replaces the persistent definition; a guest that runs has it from its next start.
 * @param bits virDomainDefineFlags
 * @throws as loadDomain for the XML, as checkOwn for another guest
 */
export async function defineDomain(domain: QemuDomain, xml: string, bits: number): Promise<GuestHandle> {
  const validate = (bits & virDomainDefineFlags.VIR_DOMAIN_DEFINE_VALIDATE) !== 0
  const { def, context } = await loadDomain(xml, domain.contextFor, { validate })
  checkDefinable(def)
  checkOwn(domain, def)
  const { VIR_DOMAIN_EVENT_DEFINED_ADDED, VIR_DOMAIN_EVENT_DEFINED_UPDATED } = virDomainEventDefinedDetailType
  // libvirt takes what a running guest would have next for its old definition, even when that has been undefined
  const detail = domain.definitions.hasBeenDefined ? VIR_DOMAIN_EVENT_DEFINED_UPDATED : VIR_DOMAIN_EVENT_DEFINED_ADDED
  domain.setPersistent(def, context)
  if (!domain.isActive) domain.definitions.join()
  domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_DEFINED, detail)
  domain.changed()
  return handleOf(domain)
}
