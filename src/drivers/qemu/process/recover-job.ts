// The async job of a guest whose QEMU went on with it while nobody listened (qemuProcessRecoverJob).
import type { QemuDomain } from '../domain/domain.ts'
import { isMemoryOnly, recoverDump } from './dump-job.ts'

/**
 * Brings the job up to what QEMU did meanwhile. That of a former process ends when QEMU's does, if it is a memory-only
 * dump: that cannot be given up. Other jobs are for those to take back who know how they are done.
 */
export async function recoverJob(domain: QemuDomain): Promise<void> {
  const { async: job } = domain.jobs
  if (job?.told('MIGRATION')) {
    // the monitor was lost meanwhile
    const { status } = await domain.qmp.execute<{ status?: string }>('query-migrate')
    if (status !== undefined) job.tell('MIGRATION', { status })
  }
  if (job && isMemoryOnly(job)) await recoverDump(domain, job)
}
