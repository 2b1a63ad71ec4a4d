// Snapshots that a process before this one was busy with, of a guest that still runs.
import { parseDevice } from '../../../conf/device-xml.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { virDomainPausedReason, virDomainRunningReason, virDomainState } from '../../../conf/enums.ts'
import { errorsFrom, toVirError } from '../../../conf/error.ts'
import { thawFilesystems } from '../agent/filesystems.ts'
import { numberOfNode } from '../block/node-names.ts'
import { findQemuJob, runQemuJob } from '../blockjob/qemu-job.ts'
import { standsOn } from '../blockjob/top-node.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { cancelMigration } from '../migration/progress.ts'
import { startCpus } from '../process/cpus.ts'
import {
  endJournal,
  isWithQemu,
  type Journal,
  readAgain,
  readJournal,
  settle,
  settleJournal
} from '../process/journal.ts'
import { dropMemoryFile } from '../process/memory-file.ts'
import { type Overlay, withOverlays } from './external.ts'
import { deleteJob, deleteLive, saveJob } from './internal.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

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
    if (journal) await settleByQemu(domain, journal)
    if (job) await resumeStopped(domain)
  } catch (error) {
    log.error({ err: error }, 'a snapshot that was cut short could not be settled')
  }
  job?.end()
}

/**
 * Settles what a call before this one could not: its journal is all that knows of it, and must not be written over. Nobody is
 * busy with snapshots by then.
 * @throws VIR_ERR_OPERATION_FAILED where it cannot be settled now either
 */
export async function settleLeft(domain: QemuDomain): Promise<void> {
  const { root, log, isActive, definitions } = domain
  const journal = readJournal(root)
  if (!journal) return
  log.warn({}, 'what was being done to snapshots is not settled yet')
  try {
    if (isActive && journal.merging) endJournal(root)
    else if (isActive && isWithQemu(journal)) await settleByQemu(domain, journal)
    else {
      await settleJournal(root, log)
      await readAgain(domain)
      if (!isActive) definitions.join()
    }
  } catch (error) {
    const why = (error as Error).message
    throw fail('VIR_ERR_OPERATION_FAILED', `a former change of snapshots cannot be settled: ${why}`, error)
  }
}

/** Time the agent may take to thaw what was frozen for a snapshot. */
const THAW_LIMIT_S = 30

/**
 * Thaws file systems that were frozen for a snapshot, which a process before this one did not come to. Nothing need wait for
 * it: an agent that does not answer is asked again by the next process.
 */
export async function thawLeft(domain: QemuDomain): Promise<void> {
  const { jobs, log, running } = domain
  const thaw = () => thawFilesystems(domain, { seconds: THAW_LIMIT_S })
  try {
    await jobs.run({ agent: 'modify' }, { api: 'virDomainSnapshotCreateXML' }, thaw)
  } catch (error) {
    log.error({ err: error }, 'file systems that were frozen for a snapshot cannot be thawed')
    if (toVirError(error).code !== 'VIR_ERR_AGENT_COMMAND_FAILED') return
  }
  running.frozen = false
  domain.save()
}

/** Settles what QEMU was busy with, by what it says. */
function settleByQemu(domain: QemuDomain, journal: Journal): Promise<void> {
  if (journal.saving !== undefined) return discardSaved(domain, journal.saving)
  if (journal.deleting !== undefined) return finishDeleting(domain, journal)
  return settleLive(domain, journal)
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
  await readAgain(domain)
}

async function settleLive(domain: QemuDomain, journal: Journal): Promise<void> {
  const { live = {} } = journal
  const isDone = await standsOn(domain, Object.values(live))
  if (isDone) {
    // the snapshot has it
    domain.running.memoryFile = undefined
    takeOverlays(domain, live)
  } else dropMemoryFile(domain)
  await settle(domain.root, journal, isDone)
  if (isDone) await readAgain(domain)
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
