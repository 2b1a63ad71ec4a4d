// What a shim that was killed while it dumped its guest has left for the next, beside what QEMU goes on with.
import { rmSync } from 'node:fs'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Status } from '../domain/status.ts'
import { cancelMigration } from '../migration/progress.ts'
import { endRecovered, isMemoryOnly } from '../process/dump-job.ts'
import { WRITTEN } from '../process/memory-file.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/**
 * Once the guest is taken over: gives up a dump that is a migration, unless it was whole by then. Of a guest that is gone
 * nothing is left but the file, which goes unless it was whole.
 * @param reattached the guest ran: if it runs no more, that is what was to follow its dump
 */
export async function settleDump(
  domain: QemuDomain,
  { memoryFile, job: saved }: Status,
  reattached = false
): Promise<void> {
  const { async: job } = domain.jobs
  if (!domain.isActive) {
    if (!reattached && saved?.phase !== WRITTEN && memoryFile?.made) rmSync(memoryFile.path, { force: true })
    return
  }
  if (!job?.isRestored || job.kind !== 'dump' || isMemoryOnly(job)) return
  await cancelMigration(domain)
  const isCut = job.phase !== WRITTEN
  await endRecovered(domain, job, isCut ? fail('VIR_ERR_OPERATION_FAILED', 'the dump was cut short') : undefined)
}
