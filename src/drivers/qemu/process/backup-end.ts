// The end of a backup: as all its disks are through, or with the guest.
import { rmSync } from 'node:fs'
import { virDomainBackupBeginFlags } from '../../../conf/enums.ts'
import type { BackupDef, BackupDisk } from '../../../conf/moment/backup.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import { type TypedParams, typed } from '../../../conf/wire.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Backup } from '../domain/run.ts'

const { VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL, VIR_DOMAIN_BACKUP_BEGIN_PRESERVE_SHUTDOWN_DOMAIN } =
  virDomainBackupBeginFlags

/** True for a backup whose guest's QEMU stays when the guest is shut down (libvirt 11.10). */
export const outlivesShutdown = (backup: Backup | undefined): boolean =>
  backup !== undefined && (backup.flags & VIR_DOMAIN_BACKUP_BEGIN_PRESERVE_SHUTDOWN_DOMAIN) !== 0

/** A disk of a backup that takes part. */
export type StoredDisk = BackupDisk & { store: StorageSource }

/** The disks that take part. */
export const storedDisks = ({ disks }: BackupDef): StoredDisk[] =>
  disks.filter((disk): disk is StoredDisk => disk.backup && disk.store !== undefined)

/** Bytes of a push that were copied, of a pull that scratch space takes; none are not told (qemuDomainBackupJobDataToParams). */
export function backupStats(mode: BackupDef['mode'], { current, total }: Backup['done']): TypedParams {
  if (current === 0 && total === 0) return {}
  if (mode === 'pull') return { disk_temp_used: typed.ullong(current), disk_temp_total: typed.ullong(total) }
  return {
    disk_total: typed.ullong(total),
    disk_processed: typed.ullong(current),
    disk_remaining: typed.ullong(total - current)
  }
}

/** Images of ours that nobody wants: scratch space, and copies that are not whole. */
function unwantedFiles({ def, flags }: Backup, isWhole: boolean): string[] {
  if ((flags & VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL) !== 0 || (isWhole && def.mode === 'push')) return []
  return storedDisks(def).flatMap(({ store }) =>
    store.type === 'file' && store.path !== undefined ? [store.path] : []
  )
}

/** Ends the guest's backup, if it has one, and its job, whose result is kept and told (qemuBackupJobTerminate). */
export function endBackup(domain: QemuDomain, status: 'completed' | 'failed' | 'canceled'): void {
  const { run, jobs, events } = domain
  const { backup } = run ?? {}
  if (!run || !backup) return
  for (const file of unwantedFiles(backup, status === 'completed')) rmSync(file, { force: true })
  run.backup = undefined
  const job = jobs.async?.kind === 'backup' ? jobs.async : undefined
  if (job && backup.begun) {
    job.stats = {
      ...backupStats(backup.def.mode, backup.done),
      success: typed.boolean(status === 'completed'),
      ...(backup.error !== undefined && { errmsg: typed.string(backup.error) })
    }
    jobs.complete(status)
    const { operation, elapsedMs } = job.data
    const params = { operation: typed.int(operation), time_elapsed: typed.ullong(elapsedMs), ...job.stats }
    events.emit('VIR_DOMAIN_EVENT_ID_JOB_COMPLETED', { params })
    job.end()
  }
  domain.changed()
}
