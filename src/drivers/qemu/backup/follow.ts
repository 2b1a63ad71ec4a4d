// A backup that goes on: its jobs in QEMU, one a disk, followed to their ends by whatever process there is. What a job
// has come to is saved before QEMU forgets it.
import { virDomainState } from '../../../conf/enums.ts'
import type { BackupDef } from '../../../conf/moment/backup.ts'
import { removeBitmap } from '../block/bitmaps.ts'
import { effectiveNode } from '../block/nodes.ts'
import { noteLoose, removeLoose } from '../blockjob/loose-images.ts'
import { dismissJob, type QmpJob, qemuJobEnd } from '../blockjob/qemu-job.ts'
import { diskNamed } from '../device/disk/lookup.ts'
import { backupJobName } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Backup } from '../domain/run.ts'
import { backupStats, endBackup, outlivesShutdown, type StoredDisk, storedDisks } from '../process/backup-end.ts'
import { shutdownOrReboot } from '../process/cpus.ts'
import { isRefusal } from '../process/monitor.ts'
import { stopServer } from './server.ts'

/** QEMU's id of the job of a disk. */
export const jobName = ({ context }: QemuDomain, { name, store }: StoredDisk): string =>
  backupJobName(name, store, context.qemu)

/** The bitmap of changes that an incremental backup is made by. */
export const bitmapName = ({ name, exportBitmap }: StoredDisk): string => exportBitmap ?? `backup-${name}`

/** Follows a backup to its end, which ends its job. */
export function followBackup(domain: QemuDomain, backup: Backup): void {
  const { async: job } = domain.jobs
  if (job?.kind === 'backup') {
    job.stats = backupStats(backup.def.mode, backup.done)
    job.update = async () => {
      job.stats = backupStats(backup.def.mode, await progress(domain, backup))
    }
    job.cancel = () => cancelDisks(domain, backup)
    job.release()
  }
  for (const disk of storedDisks(backup.def)) {
    if (disk.state !== 'running' && disk.state !== 'cancelling') continue
    // a guest that is gone has ended its backup
    followDisk(domain, backup, disk).catch(err =>
      domain.log.debug({ err, disk: disk.name }, 'a backup is not followed')
    )
  }
  if (storedDisks(backup.def).every(({ state }) => state !== 'running' && state !== 'cancelling'))
    conclude(domain, backup)
}

/** Bytes of all disks, of those that are through too (qemuBackupGetJobInfoStats). */
async function progress(domain: QemuDomain, { def, done }: Backup): Promise<Backup['done']> {
  const jobs = await domain.qmp.execute<QmpJob[]>('query-jobs')
  const sum = { ...done }
  for (const disk of storedDisks(def)) {
    const job = disk.state === 'running' ? jobs.find(({ id }) => id === jobName(domain, disk)) : undefined
    sum.current += Number(job?.['current-progress'] ?? 0)
    sum.total += Number(job?.['total-progress'] ?? 0)
  }
  return sum
}

/** Has the jobs that run given up; a backup without any is over (qemuBackupJobCancelBlockjobs). */
async function cancelDisks(domain: QemuDomain, backup: Backup): Promise<void> {
  for (const disk of storedDisks(backup.def)) {
    if (disk.state !== 'running') continue
    // saved before QEMU is told: who finds its end must know that it was asked for
    disk.state = 'cancelling'
    domain.save()
    try {
      await tellCancel(domain, disk)
    } catch (err) {
      domain.log.debug({ err, disk: disk.name }, 'a backup job is over already')
      // where QEMU has not answered it may yet do it
      if (isRefusal(err) && (disk.state as string) === 'cancelling') disk.state = 'running'
    }
  }
  domain.save()
}

const tellCancel = (domain: QemuDomain, disk: StoredDisk): Promise<unknown> =>
  domain.qmp.execute('block-job-cancel', { device: jobName(domain, disk), force: true })

/** Removes the bitmap that a push has been made by; that of a pull goes with the scratch image. */
export async function forgetChanges(
  { qmp, def, context }: QemuDomain,
  { mode }: BackupDef,
  disk: StoredDisk
): Promise<void> {
  const source = diskNamed(def, disk.name)?.source
  if (!source || mode === 'pull' || disk.incremental === undefined) return
  const { data } = removeBitmap(effectiveNode(source, context.qemu), bitmapName(disk))
  // it may be gone already
  await qmp.execute('block-dirty-bitmap-remove', data).catch(() => undefined)
}

/** As qemuJobEnd, however often the monitor is lost meanwhile. @throws VIR_ERR_OPERATION_FAILED when the backup has ended */
async function jobEnd(domain: QemuDomain, backup: Backup, disk: StoredDisk): Promise<QmpJob | undefined> {
  const id = jobName(domain, disk)
  for (;;) {
    try {
      // whether QEMU was told is not known
      if (disk.state === 'cancelling') await tellCancel(domain, disk).catch(() => undefined)
      return await qemuJobEnd(domain, id)
    } catch (error) {
      if (domain.run?.backup !== backup) throw error
      // told of it once QEMU is found again
      await new Promise<void>(resolve =>
        domain.jobs.qemuJobs.set(id, { tell: () => resolve(), found: () => resolve() })
      )
    }
  }
}

async function followDisk(domain: QemuDomain, backup: Backup, disk: StoredDisk): Promise<void> {
  const id = jobName(domain, disk)
  const job = await jobEnd(domain, backup, disk)
  await stopServer(domain, backup.def)
  await forgetChanges(domain, backup.def, disk)
  backup.done.current += Number(job?.['current-progress'] ?? 0)
  backup.done.total += Number(job?.['total-progress'] ?? 0)
  if (job?.error !== undefined) backup.error ??= job.error
  disk.state = disk.state === 'cancelling' ? 'cancelled' : job && job.error === undefined ? 'complete' : 'failed'
  // a disk that was unplugged meanwhile has left its settings to none
  const source = diskNamed(domain.def, disk.name)
  if (source) noteLoose(domain, source, { ...disk.store, backingStore: { type: 'none' } }, [])
  domain.save()
  await dismissJob(domain, id)
  await removeLoose(domain, disk.store.index!)
  await settleDisks(domain, backup)
}

/** Ends the backup when the last disk is through; one that failed has the others given up (qemuBackupNotifyBlockjobEnd). */
async function settleDisks(domain: QemuDomain, backup: Backup): Promise<void> {
  const states = storedDisks(backup.def).map(({ state }) => state)
  const has = (state: string) => states.some(one => one === state)
  if (has('running') && (has('failed') || has('cancelled'))) await cancelDisks(domain, backup)
  else if (!has('running') && !has('cancelling')) conclude(domain, backup)
}

function conclude(domain: QemuDomain, backup: Backup): void {
  const states = storedDisks(backup.def).map(({ state }) => state)
  const isGivenUp = states.includes('cancelled') && backup.def.mode === 'push'
  endBackup(domain, states.includes('failed') ? 'failed' : isGivenUp ? 'canceled' : 'completed')
  if (!outlivesShutdown(backup) || domain.state !== virDomainState.VIR_DOMAIN_SHUTDOWN) return
  shutdownOrReboot(domain).catch(err => domain.log.error({ err }, 'a guest that was shut down does not end'))
}
