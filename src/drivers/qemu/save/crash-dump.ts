// A dump of a crashed guest's memory, as <on_crash> and <watchdog> can ask for it (doCoreDumpToAutoDumpPath).
import { closeSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { virDomainCoreDumpFlags } from '../../../conf/enums.ts'
import { giveTo, letThrough } from '../../../host/owner.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import { makePrivateDirectory } from '../../../state/store.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { dumpCompleted, followDump } from '../process/recover-job.ts'

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
    try {
      await writeCore(domain, job)
    } catch (error) {
      if (!then) throw error
      domain.log.error({ err: error }, 'memory could not be dumped')
    }
    if (then) await job.nested(then)
  })
}

/** Writes the guest's memory as an ELF core file (qemuDumpToFd). */
async function writeCore(domain: QemuDomain, job: AsyncJob): Promise<void> {
  const { qmp, root, id, name, running } = domain
  makePrivateDirectory(root.dumpDir)
  const path = join(root.dumpDir, `${id}-${name}-${stamp(new Date())}`)
  closeSync(openSync(path, 'wx', 0o600))
  try {
    giveTo(path, running.owner)
    letThrough([root.dir, root.dumpDir], running.owner)
    followDump(domain, job)
    await job.nested(() => qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${path}`, detach: true }))
    await dumpCompleted(job)
    domain.log.info({ path }, "guest's memory was dumped")
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  }
}
