// Progress of a job for its callers: by its own count, asked of QEMU anew (qemuDomainGetJobStatsInternal).
import { virDomainJobType } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type TypedParams, typed } from '../../../conf/wire.ts'
import type { JobData, JobStatus } from '../../../state/async-job.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const TYPE = virDomainJobType

/** virDomainJobStatusToType; what is not over is unbounded */
const TYPES: Partial<Record<JobStatus, number>> = {
  completed: TYPE.VIR_DOMAIN_JOB_COMPLETED,
  failed: TYPE.VIR_DOMAIN_JOB_FAILED,
  canceled: TYPE.VIR_DOMAIN_JOB_CANCELLED
}

/** virDomainJobType of a job, or of none. */
export const jobType = (data: JobData | undefined): number =>
  data ? (TYPES[data.status] ?? TYPE.VIR_DOMAIN_JOB_UNBOUNDED) : TYPE.VIR_DOMAIN_JOB_NONE

/**
 * The job under way, as QEMU has it now; undefined if there is none.
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for an incoming migration, VIR_ERR_OPERATION_FAILED when QEMU has lost it
 */
export async function currentJob(domain: QemuDomain): Promise<JobData | undefined> {
  const { async: job } = domain.jobs
  if (job?.kind === 'migration-in') {
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'migration statistics are available only on the source host')
  }
  await job?.update?.()
  return job?.data
}

/** Counters of virDomainJobInfo: bytes, but times in ms. */
export const COUNTERS = [
  'timeElapsed',
  'timeRemaining',
  'dataTotal',
  'dataProcessed',
  'dataRemaining',
  'memTotal',
  'memProcessed',
  'memRemaining',
  'fileTotal',
  'fileProcessed',
  'fileRemaining'
] as const

/** A job's progress as virDomainJobInfo has it; all 0 for none (qemuDomainJobDataToInfo). */
export function jobInfo(data: JobData | undefined): Record<(typeof COUNTERS)[number], bigint> {
  const count = (name: string) => BigInt(data?.stats?.[name]?.value ?? 0)
  const [memTotal, memProcessed, memRemaining] = [
    count('memory_total'),
    count('memory_processed'),
    count('memory_remaining')
  ]
  const [fileTotal, fileProcessed, fileRemaining] = [
    count('disk_total'),
    count('disk_processed'),
    count('disk_remaining')
  ]
  return {
    timeElapsed: BigInt(data?.elapsedMs ?? 0),
    timeRemaining: 0n,
    dataTotal: memTotal + fileTotal,
    dataProcessed: memProcessed + fileProcessed,
    dataRemaining: memRemaining + fileRemaining,
    memTotal,
    memProcessed,
    memRemaining,
    fileTotal,
    fileProcessed,
    fileRemaining
  }
}

/**
 * A job's progress as typed parameters; none for no job (qemuDomainJobDataToParams).
 * @throws VIR_ERR_INTERNAL_ERROR for a job that counts nothing
 */
export function jobParams(data: JobData | undefined): TypedParams {
  if (!data) return {}
  const { operation, elapsedMs, stats } = data
  if (!stats) throw fail('VIR_ERR_INTERNAL_ERROR', 'invalid job statistics type')
  return { operation: typed.int(operation), time_elapsed: typed.ullong(elapsedMs), ...stats }
}
