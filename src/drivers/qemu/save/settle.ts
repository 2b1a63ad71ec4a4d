// What a shim that was killed while it saved or restored its guest has left for the next.
import { rmSync } from 'node:fs'
import { virDomainPausedReason, virDomainRunningReason, virDomainState } from '../../../conf/enums.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Status } from '../domain/status.ts'
import { cancelMigration } from '../migration/progress.ts'
import { startCpus } from '../process/cpus.ts'
import { WRITTEN } from '../process/memory-file.ts'
import { finishImage, isCorrupt } from './image.ts'
import { forgetImage } from './restore.ts'

const { VIR_DOMAIN_PAUSED_MIGRATION, VIR_DOMAIN_PAUSED_SAVE, VIR_DOMAIN_PAUSED_UNKNOWN } = virDomainPausedReason
const { VIR_DOMAIN_RUNNING_RESTORED, VIR_DOMAIN_RUNNING_SAVE_CANCELED } = virDomainRunningReason

const isSaving = ({ job }: Status) => job?.kind === 'save'

/**
 * Finishes an image that lacks nothing but the mark that it is whole.
 * @returns true for a guest that is saved, and is to end. An image that is gone is none, as long as there is the guest
 */
export function finishSave(status: Status): boolean {
  const { job, memoryFile, phase } = status
  if (!isSaving(status) || job?.phase !== WRITTEN || !memoryFile) return false
  try {
    finishImage(memoryFile.path)
    return true
  } catch {
    return phase === 'stopping'
  }
}

/**
 * Once the guest is taken over: takes back a save that was under way, and finishes a restore. The guest runs, unless it
 * did not before, or was not to.
 */
export async function settleSave(domain: QemuDomain, status: Status): Promise<void> {
  const { async: job } = domain.jobs
  if (isSaving(status)) {
    if (domain.isActive) await takeBack(domain)
    removePartial(status)
    if (job?.isRestored && job.kind === 'save') job.end()
  }
  // a snapshot's, which nothing has come of, however whole it is
  const { job: was, memoryFile } = status
  if (!domain.isActive && was?.kind === 'snapshot' && memoryFile?.made) rmSync(memoryFile.path, { force: true })
  if (domain.run?.goesOnFrom) await finishRestore(domain)
  else if (status.goesOnFrom && hasRun(status)) forgetImage(domain, status.goesOnFrom)
}

/** True for a guest whose CPUs may have written to its disks since it had its memory. */
const hasRun = ({ phase, state, reason }: Status) =>
  phase !== 'starting' && !(state === virDomainState.VIR_DOMAIN_PAUSED && reason === VIR_DOMAIN_PAUSED_MIGRATION)

const waitsFor = ({ state, reason }: QemuDomain, ...reasons: number[]) =>
  state === virDomainState.VIR_DOMAIN_PAUSED && reasons.includes(reason)

async function finishRestore(domain: QemuDomain): Promise<void> {
  const waits = waitsFor(domain, VIR_DOMAIN_PAUSED_MIGRATION) && !domain.running.paused
  if (waits) await startCpus(domain, VIR_DOMAIN_RUNNING_RESTORED)
  forgetImage(domain)
}

async function takeBack(domain: QemuDomain): Promise<void> {
  const { running, log } = domain
  await cancelMigration(domain)
  running.memoryFile = undefined
  if (!waitsFor(domain, VIR_DOMAIN_PAUSED_SAVE, VIR_DOMAIN_PAUSED_UNKNOWN)) return domain.save()
  await startCpus(domain, VIR_DOMAIN_RUNNING_SAVE_CANCELED).catch(error =>
    log.error({ err: error }, 'the guest cannot be resumed after its save was cut short')
  )
}

/** Removes the file of a save that was cut short, if that made it. */
function removePartial({ memoryFile }: Status): void {
  if (memoryFile?.made && isCorrupt(memoryFile.path)) rmSync(memoryFile.path, { force: true })
}
