// What a shim does to a guest that a former one has left, in the order in which one thing builds on another.
import { existsSync } from 'node:fs'
import type { Log, QemuDomain } from '../drivers/qemu/domain/domain.ts'
import type { Status } from '../drivers/qemu/domain/status.ts'
import { settleAccess } from '../drivers/qemu/process/access.ts'
import { isWithQemu, readJournal, settleJournal } from '../drivers/qemu/process/journal.ts'
import { untilHeard } from '../drivers/qemu/process/monitor.ts'
import { reconnectDomain } from '../drivers/qemu/process/reconnect.ts'
import { journalOf } from '../state/moments.ts'
import type { GuestRoot } from '../state/root.ts'

/**
 * Settles what a former shim was doing to snapshots, before anything else is read; but for what QEMU was doing, which is
 * looked at with its run. @returns true where the definition may be another than before
 */
export async function settleSnapshots(root: GuestRoot, status: Status | undefined, log: Log): Promise<boolean> {
  const journal = readJournal(root)
  return journal !== undefined && !(status && isWithQemu(journal)) && settleJournal(root, log)
}

/** A former shim was busy with a snapshot of it. */
const isInSnapshot = ({ root, jobs, run }: QemuDomain) =>
  existsSync(journalOf(root)) || jobs.async?.kind === 'snapshot' || run?.frozen === true

/** Takes over what a former shim has left, and finishes or takes back what that was doing. @returns as reconnectDomain */
export async function takeOver(domain: QemuDomain, status: Status): Promise<boolean> {
  const { job, memoryFile, goesOnFrom } = status
  const isSaving = job?.kind === 'save' || (memoryFile ?? goesOnFrom) !== undefined
  const saving = isSaving ? await import('../drivers/qemu/save/settle.ts') : undefined
  const reattached = await reconnectDomain(domain, status, saving?.finishSave(status))
  await saving?.settleSave(domain, status)
  if (job?.kind === 'dump') {
    await (await import('../drivers/qemu/save/settle-dump.ts')).settleDump(domain, status, reattached)
  }
  if (!reattached) return false
  try {
    await finish(domain, status)
  } catch (error) {
    // a guest that ends meanwhile leaves nothing to be finished
    if ((await untilHeard(domain)) !== 'ended') throw error
  }
  return true
}

/** Finishes or takes back what a former shim was doing to a guest that runs. */
async function finish(domain: QemuDomain, { job, arrival }: Status): Promise<void> {
  if (job?.kind === 'migration-out' || job?.kind === 'migration-in') {
    await (await import('../drivers/qemu/migration/recover.ts')).recoverMigration(domain)
  }
  if (arrival) await (await import('../drivers/qemu/migration/recover.ts')).recoverWitness(domain)
  const { backup, blockJobs, looseImages, checkpoint } = domain.run ?? {}
  if (blockJobs?.size) await (await import('../drivers/qemu/blockjob/refresh.ts')).refreshBlockJobs(domain)
  const snapshots = isInSnapshot(domain) ? await import('../drivers/qemu/snapshot/recover.ts') : undefined
  await snapshots?.recoverSnapshots(domain)
  if (backup || domain.jobs.async?.kind === 'backup') {
    await (await import('../drivers/qemu/backup/recover.ts')).recoverBackup(domain)
  }
  // images that were being added have been looked at by whom they were for
  if (looseImages?.size) await (await import('../drivers/qemu/blockjob/loose-images.ts')).settleLooseImages(domain)
  await (await import('../drivers/qemu/hotplug/settle.ts')).settleDevices(domain)
  await settleAccess(domain)
  if (checkpoint) await (await import('../drivers/qemu/checkpoint/delete.ts')).settleCheckpoint(domain)
  if (domain.run?.frozen) void snapshots?.thawLeft(domain)
  if (snapshots) (await import('../drivers/qemu/snapshot/delete.ts')).goOnMerging(domain)
}
