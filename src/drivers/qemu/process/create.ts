// A start from XML that the guest does not keep (qemuDomainCreateXML).
import { virDomainCreateFlags } from '../../../conf/enums.ts'
import { type GuestHandle, handleOf } from '../../connection.ts'
import { checkCreatable } from '../../known-guest.ts'
import { loadDomain } from '../definition/passes.ts'
import { checkOwn } from '../domain/define.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { asksForTie } from './auto-destroy.ts'
import { startDomain } from './start.ts'

const { VIR_DOMAIN_START_PAUSED, VIR_DOMAIN_START_VALIDATE, VIR_DOMAIN_START_RESET_NVRAM } = virDomainCreateFlags

/**
 * Starts the guest from another definition than the one it keeps; after that run it has the kept one again.
 * @param bits virDomainCreateFlags
 * @param connection its client's, aborted when it closes
 */
export async function createFrom(
  domain: QemuDomain,
  xml: string,
  bits: number,
  connection?: AbortSignal
): Promise<GuestHandle> {
  const validate = (bits & VIR_DOMAIN_START_VALIDATE) !== 0
  const { def, context } = await loadDomain(xml, domain.contextFor, { validate })
  checkOwn(domain, def)
  return domain.jobs.run({ async: 'start' }, { api: 'virDomainCreateXML', flags: bits }, async () => {
    checkCreatable({ name: domain.name, id: domain.id, persistent: domain.isPersistent })
    domain.definitions.startFrom(def, context)
    await startDomain(domain, {
      paused: (bits & VIR_DOMAIN_START_PAUSED) !== 0,
      autoDestroy: asksForTie({ flags: bits }) ? connection : undefined,
      resetNvram: (bits & VIR_DOMAIN_START_RESET_NVRAM) !== 0
    })
    return handleOf(domain)
  })
}
