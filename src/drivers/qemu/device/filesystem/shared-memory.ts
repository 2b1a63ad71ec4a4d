// The demand of vhost-user devices on the guest's memory: their backend must see it.
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/**
 * Checks that the guest's memory is shared with other processes (qemuValidateDomainDefVhostUserRequireSharedMemory).
 * @param name what the message says needs it: `virtiofs`
 * @throws VIR_ERR_CONFIG_UNSUPPORTED
 */
export function requireSharedMemory(def: DomainDef, name: string): void {
  const access = def.memoryBacking?.access
  const cells = def.cpu?.numa?.cells ?? []
  const shared = cells.length > 0 ? cells.every(cell => (cell.memAccess ?? access) === 'shared') : access === 'shared'
  if (!shared) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `'${name}' requires shared memory`)
}
