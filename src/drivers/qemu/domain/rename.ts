// Another name for a guest that is shut off (qemuDomainRename).
import { existsSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import {
  virDomainEventDefinedDetailType,
  virDomainEventType,
  virDomainEventUndefinedDetailType
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type ClaimedResource, ResourceTaken } from '../../../state/claim.ts'
import { chooseRoot, type GuestRoot } from '../../../state/root.ts'
import { removeSynced, syncDirectory } from '../../../state/store.ts'
import type { QemuDomain } from './domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')
const refuse = (message: string) => fail('VIR_ERR_OPERATION_INVALID', message)
/** libvirt's list of guests says so. */
const taken = (message: string) => failDomain('VIR_ERR_OPERATION_INVALID', message)

/**
 * Renames the guest. A root that the user chose stays where it is; the default one is named after the guest and is
 * renamed with it, sockets and all. UEFI variables and TPM state stay where they were, as in libvirt.
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_XML_ERROR for a name no guest can have, VIR_ERR_OPERATION_INVALID
 */
export async function renameDomain(domain: QemuDomain, name: string): Promise<Record<string, never>> {
  if (!domain.newDef) throw refuse('cannot rename a transient domain')
  if (existsSync(domain.root.managedSave)) throw refuse("domain with a managed saved state can't be renamed")
  if (domain.name === name) throw taken("Can't rename domain to itself")
  if (name.includes('/')) throw fail('VIR_ERR_XML_ERROR', `name ${name} cannot contain '/'`)
  const { id, uuid, name: oldName } = domain
  const root = domain.rootByName ? chooseRoot(undefined, name) : domain.root
  const isTaken = () => taken(`domain with name '${name}' already exists`)
  if (root !== domain.root && (existsSync(root.definition) || existsSync(root.dir))) throw isTaken()
  const resources: ClaimedResource[] = [{ kind: 'name', key: name, mode: 'exclusive' }]
  const claim = await domain.claims?.claim(domain, resources).catch(error => {
    throw error instanceof ResourceTaken ? isTaken() : error
  })
  try {
    take(domain, name, root)
  } finally {
    // from now on our report holds the name
    if (claim) await domain.claims?.release(claim.claim)
  }
  const { VIR_DOMAIN_EVENT_UNDEFINED, VIR_DOMAIN_EVENT_DEFINED } = virDomainEventType
  domain.lifecycle(
    VIR_DOMAIN_EVENT_UNDEFINED,
    virDomainEventUndefinedDetailType.VIR_DOMAIN_EVENT_UNDEFINED_RENAMED,
    undefined,
    { name: oldName, uuid, id }
  )
  domain.lifecycle(VIR_DOMAIN_EVENT_DEFINED, virDomainEventDefinedDetailType.VIR_DOMAIN_EVENT_DEFINED_RENAMED)
  domain.changed()
  return {}
}

function renameSynced(from: string, to: string): void {
  renameSync(from, to)
  syncDirectory(dirname(to))
}

/** The new definition is on disk before the old one goes; a failure leaves all as it was. */
function take(domain: QemuDomain, name: string, root: GuestRoot): void {
  const { root: oldRoot, name: oldName, autostart, autostartOnce } = domain
  const def = domain.newDef!
  const moves = root !== oldRoot
  if (moves) renameSynced(oldRoot.dir, root.dir)
  domain.root = root
  def.name = name
  try {
    domain.setPersistent(def, domain.definitions.newContext)
    if (moves && autostart) domain.autostart = true
    if (moves && autostartOnce) domain.autostartOnce = true
  } catch (error) {
    def.name = oldName
    domain.root = oldRoot
    if (moves) {
      removeSynced(root.definition)
      renameSynced(root.dir, oldRoot.dir)
    }
    throw error
  }
  if (!moves) return
  removeSynced(oldRoot.definition)
  removeSynced(oldRoot.autostart)
  removeSynced(oldRoot.autostartOnce)
}
