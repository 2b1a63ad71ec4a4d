// A backup that a process before this one began: followed on, or taken back where its caller was never told of it.
import { runQemuJob } from '../blockjob/qemu-job.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { storedDisks } from '../process/backup-end.ts'
import { followBackup, forgetChanges, jobName } from './follow.ts'
import { stopServer } from './server.ts'

/** To be called before images and checkpoints that were on their way are settled: of one that did not begin they are left. */
export async function recoverBackup(domain: QemuDomain): Promise<void> {
  const { running, jobs } = domain
  const { backup } = running
  if (backup?.begun) return followBackup(domain, backup)
  if (backup) {
    await stopServer(domain, backup.def)
    for (const disk of storedDisks(backup.def)) {
      if (disk.store.index === undefined) continue
      await runQemuJob(domain, jobName(domain, disk), undefined, AbortSignal.abort())
      await forgetChanges(domain, backup, disk)
    }
    running.backup = undefined
  }
  if (jobs.async?.kind === 'backup') jobs.async.end()
  domain.changed()
}
