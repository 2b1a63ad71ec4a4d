// A backup that a process before this one began: followed on, or taken back where its caller was never told of it.
import type { BackupDef } from '../../../conf/moment/backup.ts'
import { dismissJob, findQemuJob, runQemuJob } from '../blockjob/qemu-job.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Backup } from '../domain/run.ts'
import { storedDisks } from '../process/backup-end.ts'
import { followBackup, forgetChanges, jobName } from './follow.ts'
import { stopServer } from './server.ts'

/** To be called before images and checkpoints that were on their way are settled: of one that did not begin they are left. */
export async function recoverBackup(domain: QemuDomain): Promise<void> {
  const { running, jobs } = domain
  const { backup } = running
  if (backup?.begun) {
    await dismissEnded(domain, backup)
    return followBackup(domain, backup)
  }
  if (backup) {
    await takeBack(domain, backup.def)
    running.backup = undefined
  }
  if (jobs.async?.kind === 'backup') jobs.async.end()
  domain.changed()
}

/** Takes from QEMU what it may have begun of a backup. */
export async function takeBack(domain: QemuDomain, def: BackupDef): Promise<void> {
  await stopServer(domain, def)
  for (const disk of storedDisks(def)) {
    if (disk.store.index === undefined) continue
    await runQemuJob(domain, jobName(domain, disk), undefined, AbortSignal.abort())
    await forgetChanges(domain, def, disk)
  }
}

/** Jobs whose end was saved, and of which QEMU was not told any more. */
async function dismissEnded(domain: QemuDomain, { def }: Backup): Promise<void> {
  const ended = storedDisks(def).filter(({ state }) => state !== 'running' && state !== 'cancelling')
  for (const disk of ended) {
    const id = jobName(domain, disk)
    if (await findQemuJob(domain.qmp, id)) await dismissJob(domain, id)
  }
}
