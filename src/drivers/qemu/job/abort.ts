// Giving up the job under way, as a client asks (qemuDomainAbortJobFlags).
import { virDomainAbortJobFlagsValues, virDomainCoreDumpFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { AsyncJob, AsyncJobKind } from '../../../state/async-job.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { isInPostcopy } from './postcopy.ts'

const refuse = (message: string) => errorsFrom('VIR_FROM_QEMU')('VIR_ERR_OPERATION_INVALID', message)

const { VIR_DOMAIN_ABORT_JOB_POSTCOPY } = virDomainAbortJobFlagsValues
const { VIR_DUMP_MEMORY_ONLY } = virDomainCoreDumpFlags

/** Reasons why a kind of job cannot be given up. */
const REFUSALS: Partial<Record<AsyncJobKind, (job: AsyncJob) => string | undefined>> = {
  'migration-in': () => 'cannot abort incoming migration; use virDomainDestroy instead',
  start: () => 'cannot abort VM start; use virDomainDestroy instead',
  dump: ({ flags }) => ((flags & VIR_DUMP_MEMORY_ONLY) !== 0 ? 'cannot abort memory-only dump' : undefined)
}

type Guest = Pick<QemuDomain, 'jobs' | 'state' | 'reason'>

const isPostcopy = (guest: Guest, { kind, status }: AsyncJob) =>
  kind === 'migration-out' && (status.startsWith('postcopy') || isInPostcopy(guest))

/**
 * Gives the job up; with VIR_DOMAIN_ABORT_JOB_POSTCOPY a migration in post-copy only loses its connection, and can be
 * brought on by another.
 * @throws VIR_ERR_OPERATION_INVALID where there is no job, or one that goes on to its end
 */
export async function abortJob(guest: Guest, bits: number): Promise<void> {
  const { async: job } = guest.jobs
  const inPostcopy = job !== undefined && isPostcopy(guest, job)
  if ((bits & VIR_DOMAIN_ABORT_JOB_POSTCOPY) !== 0 && !inPostcopy) {
    throw refuse('current job is not outgoing migration in post-copy mode')
  }
  if (!job) throw refuse('no job is active on the domain')
  const refusal = REFUSALS[job.kind]?.(job)
  if (refusal !== undefined) throw refuse(refusal)
  if (!inPostcopy) return job.abort()
  if (bits === 0) throw refuse('cannot abort migration in post-copy mode')
  await job.cancel?.()
}
