// XML given to the shim of a guest: a new definition, or the one a start is to be from (qemuDomainDefineXMLFlags,
// qemuDomainCreateXML).
import { checkDefinable } from '../../../conf/domain/identity.ts'
import {
  virDomainCreateFlags,
  virDomainDefineFlags,
  virDomainEventDefinedDetailType,
  virDomainEventType
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { GuestHandle } from '../../connection.ts'
import { checkCreatable, type Identity, knownGuest } from '../../known-guest.ts'
import { loadDomain } from '../definition/passes.ts'
import { startDomain } from '../process/start.ts'
import type { QemuDomain } from './domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_DOMAIN_START_PAUSED, VIR_DOMAIN_START_AUTODESTROY } = virDomainCreateFlags
const { VIR_DOMAIN_START_VALIDATE, VIR_DOMAIN_START_RESET_NVRAM } = virDomainCreateFlags

const handleOf = ({ name, uuid, id }: QemuDomain): GuestHandle => ({ name, uuid, id })

/** @throws as libvirt where only name or uuid is this guest's, VIR_ERR_OPERATION_UNSUPPORTED for another guest */
function checkOwn(domain: QemuDomain, wanted: Identity): void {
  if (domain.removed) throw fail('VIR_ERR_OPERATION_FAILED', `domain '${domain.name}' is already being removed`)
  if (knownGuest(wanted, [domain])) return
  throw fail(
    'VIR_ERR_OPERATION_UNSUPPORTED',
    `this process serves only domain '${domain.name}', domain '${wanted.name}' needs one of its own`
  )
}

/** Replaces the persistent definition; a guest that runs has it from its next start. */
export async function redefine(domain: QemuDomain, xml: string, bits: number): Promise<GuestHandle> {
  const validate = (bits & virDomainDefineFlags.VIR_DOMAIN_DEFINE_VALIDATE) !== 0
  const { def, context } = await loadDomain(xml, domain.contextFor, { validate })
  checkDefinable(def)
  checkOwn(domain, def)
  const { VIR_DOMAIN_EVENT_DEFINED_ADDED, VIR_DOMAIN_EVENT_DEFINED_UPDATED } = virDomainEventDefinedDetailType
  // libvirt takes what a running guest would have next for its old definition, even when that has been undefined
  const detail = domain.hasBeenDefined ? VIR_DOMAIN_EVENT_DEFINED_UPDATED : VIR_DOMAIN_EVENT_DEFINED_ADDED
  domain.setPersistent(def, context)
  if (!domain.isActive) domain.joinDefinitions()
  domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_DEFINED, detail)
  domain.changed()
  return handleOf(domain)
}

/** Starts the guest from another definition than the one it keeps, and has again after that run. */
export async function createFrom(domain: QemuDomain, xml: string, bits: number): Promise<GuestHandle> {
  const validate = (bits & VIR_DOMAIN_START_VALIDATE) !== 0
  const { def, context } = await loadDomain(xml, domain.contextFor, { validate })
  checkOwn(domain, def)
  return domain.jobs.run('virDomainCreateXML', async () => {
    checkCreatable({ name: domain.name, id: domain.id, persistent: domain.isPersistent })
    domain.newContext = domain.context
    domain.def = def
    domain.context = context
    await startDomain(domain, {
      paused: (bits & VIR_DOMAIN_START_PAUSED) !== 0,
      autoDestroy: (bits & VIR_DOMAIN_START_AUTODESTROY) !== 0,
      resetNvram: (bits & VIR_DOMAIN_START_RESET_NVRAM) !== 0
    })
    return handleOf(domain)
  })
}
