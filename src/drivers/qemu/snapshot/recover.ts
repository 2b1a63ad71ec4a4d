// Snapshots that a process before this one was busy with, of a guest that still runs.
import { parseDevice } from '../../../conf/device-xml.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { virDomainPausedReason, virDomainRunningReason, virDomainState } from '../../../conf/enums.ts'
import { numberOfNode } from '../block/node-names.ts'
import { findQemuJob, runQemuJob } from '../blockjob/qemu-job.ts'
import { standsOn } from '../blockjob/top-node.ts'
import { loadDomain } from '../definition/passes.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { cancelMigration } from '../migration/progress.ts'
import { startCpus } from '../process/cpus.ts'
import { dropMemoryFile } from '../process/memory-file.ts'
import { finishMerging } from './delete.ts'
import { type Overlay, withOverlays } from './external.ts'
import { deleteJob, deleteLive, saveJob } from './internal.ts'
import { endJournal, type Journal, readJournal, settle } from './journal.ts'

/** Reasons for which the CPUs were stopped by a snapshot, and nobody else. */
const OURS: readonly number[] = [
  virDomainPausedReason.VIR_DOMAIN_PAUSED_SAVE,
  virDomainPausedReason.VIR_DOMAIN_PAUSED_SNAPSHOT,
  virDomainPausedReason.VIR_DOMAIN_PAUSED_MIGRATION
]

/**
 * Finishes what QEMU has done, takes back what it has not, and has the guest run on (qemuProcessRecoverJob). Images that
 * were being added are left to whoever takes them away, unless the guest stands on them.
 */
export async function recoverSnapshots(domain: QemuDomain): Promise<void> {
  const { root, jobs, log } = domain
  if (!domain.isActive) return
  const job = jobs.async?.kind === 'snapshot' ? jobs.async : undefined
  const journal = readJournal(root)
  if (journal?.merging) return
  try {
    if (journal?.saving !== undefined) await discardSaved(domain, journal.saving)
    else if (journal?.deleting !== undefined) await finishDeleting(domain, journal)
    else if (journal) await settleLive(domain, journal)
    if (job) await resumeStopped(domain)
  } catch (error) {
    log.error({ err: error }, 'a snapshot that was cut short could not be settled')
  }
  job?.end()
}

/** Goes on with the deletion of an external snapshot, whose block jobs have been found again by now. */
export function goOnMerging(domain: QemuDomain): void {
  const { root, jobs, log } = domain
  const merging = domain.isActive ? readJournal(root)?.merging : undefined
  if (!merging) return
  const saved = { kind: 'snapshot', api: 'virDomainSnapshotDelete', sinceMs: Date.now() } as const
  const job = jobs.async?.kind === 'snapshot' ? jobs.async : jobs.restore(saved)
  finishMerging(domain, job, merging)
    .catch(error => log.error({ err: error }, 'the deletion of a snapshot that was cut short could not be finished'))
    .finally(() => job.end())
}

/** An internal snapshot nobody knows of goes, once QEMU is through with it. */
async function discardSaved(domain: QemuDomain, name: string): Promise<void> {
  const id = saveJob(name)
  if (await findQemuJob(domain.qmp, id)) await runQemuJob(domain, id)
  await deleteLive(domain, name)
  endJournal(domain.root)
}

/** An internal snapshot that was being deleted goes from all images, and from the list. */
async function finishDeleting(
  domain: QemuDomain,
  { deleting = '', redo: { images: _, ...redo } = {} }: Journal
): Promise<void> {
  const id = deleteJob(deleting)
  if (await findQemuJob(domain.qmp, id)) await runQemuJob(domain, id)
  await deleteLive(domain, deleting)
  await settle(domain.root, { redo }, true)
}

async function settleLive(domain: QemuDomain, journal: Journal): Promise<void> {
  const { root, definitions, contextFor } = domain
  const { live = {}, redo } = journal
  const isDone = await standsOn(domain, Object.values(live))
  if (isDone) {
    // the snapshot has it
    domain.running.memoryFile = undefined
    takeOverlays(domain, live)
  }
  await settle(root, journal, isDone)
  if (!isDone || redo?.definition === undefined) return
  const { def, context } = await loadDomain(redo.definition, contextFor, { abiUpdate: false, check: false })
  definitions.adopt(def, context)
}

/** The live definition says what QEMU's disks stand on. */
function takeOverlays(domain: QemuDomain, live: Record<string, string>): void {
  const { looseImages } = domain.running
  const overlays = Object.entries(live).flatMap(([name, node]): Overlay[] => {
    const number = numberOfNode(node)!
    const note = looseImages.get(number)
    if (!note) return []
    looseImages.delete(number)
    return [{ name, source: (parseDevice(note.disk, false, true)[1] as DiskDef).source }]
  })
  domain.change({ live: true }, def => withOverlays(def, overlays))
}

async function resumeStopped(domain: QemuDomain): Promise<void> {
  if (domain.running.memoryFile) {
    await cancelMigration(domain)
    dropMemoryFile(domain)
  }
  if (domain.state !== virDomainState.VIR_DOMAIN_PAUSED || !OURS.includes(domain.reason)) return
  await startCpus(domain, virDomainRunningReason.VIR_DOMAIN_RUNNING_UNPAUSED)
}
