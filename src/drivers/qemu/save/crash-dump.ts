// Dumps of a guest's memory that nobody asks for but its definition, by <on_crash> and <watchdog> (doCoreDumpToAutoDumpPath).
import { join } from 'node:path'
import { virDomainCoreDumpFlags } from '../../../conf/enums.ts'
import { makePrivateDirectory } from '../../../state/store.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { writeDump } from './dump.ts'

/** `2024-01-31-12:00:00`, local time. */
function stamp(now: Date): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join('-')
  return `${day}-${[now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join(':')}`
}

const MEMORY_ONLY = { api: 'dump', flags: virDomainCoreDumpFlags.VIR_DUMP_MEMORY_ONLY }

/**
 * Dumps the guest's memory into its dump directory. A dump that a former process began is followed.
 * @param then what goes on within the job when it is over, however it went
 * @throws VIR_ERR_OPERATION_FAILED; no file stays then
 */
export async function dumpMemory(domain: QemuDomain, then?: () => Promise<void>): Promise<void> {
  const { async: underWay } = domain.jobs
  if (!then && underWay?.kind === 'dump' && underWay.isRestored) return underWay.ended
  await domain.jobs.run({ async: 'dump' }, MEMORY_ONLY, async job => {
    domain.checkActive()
    const { root, id, name, log } = domain
    makePrivateDirectory(root.dumpDir)
    const path = join(root.dumpDir, `${id}-${name}-${stamp(new Date())}`)
    try {
      await writeDump(domain, job, { path, flags: MEMORY_ONLY.flags })
      log.info({ path }, "guest's memory was dumped")
    } catch (error) {
      if (!then) throw error
      log.error({ err: error }, 'memory could not be dumped')
    }
    if (then) await job.nested(then)
  })
}
