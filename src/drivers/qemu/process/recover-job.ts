// The async job of a guest whose QEMU went on with it while nobody listened (qemuProcessRecoverJob).
import { errorsFrom } from '../../../conf/error.ts'
import { typed } from '../../../conf/wire.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** QEMU's DumpStatus, in libvirt's order (qemuMonitorDumpStatus). */
const DUMP_STATUSES = ['none', 'active', 'completed', 'failed'] as const

/** QEMU's answer about a dump, in bytes (query-dump). */
interface DumpResult {
  status: (typeof DUMP_STATUSES)[number]
  completed: number | bigint
  total: number | bigint
}

/**
 * Brings the job up to what QEMU did meanwhile. That of a former process ends when QEMU's does: a memory-only dump
 * cannot be given up, and other jobs are not left behind.
 */
export async function recoverJob(domain: QemuDomain): Promise<void> {
  const { async: job } = domain.jobs
  if (job?.told('MIGRATION')) {
    // the monitor was lost meanwhile
    const { status } = await domain.qmp.execute<{ status?: string }>('query-migrate')
    if (status !== undefined) job.tell('MIGRATION', { status })
  }
  if (job?.kind !== 'dump') return
  followDump(domain, job)
  const result = await queryDump(domain)
  if (result.status !== 'active') job.tell('DUMP_COMPLETED', { result })
  if (!job.isRestored) return
  dumpCompleted(job).then(
    () => job.end(),
    error => job.end(error)
  )
}

const queryDump = ({ qmp }: QemuDomain) => qmp.execute<DumpResult>('query-dump')

function count(job: AsyncJob, { total, completed }: DumpResult): void {
  job.stats = {
    memory_total: typed.ullong(total),
    memory_processed: typed.ullong(completed),
    memory_remaining: typed.ullong(BigInt(total) - BigInt(completed))
  }
}

/** Has the job's progress counted by QEMU when it is asked for (qemuDomainGetJobInfoDumpStats). */
export function followDump(domain: QemuDomain, job: AsyncJob): void {
  count(job, { status: 'active', total: 0, completed: 0 })
  job.update = async () => {
    const result = await queryDump(domain)
    if (result.status === 'none' || result.status === 'failed') {
      throw fail('VIR_ERR_OPERATION_FAILED', `dump query failed, status=${DUMP_STATUSES.indexOf(result.status)}`)
    }
    count(job, result)
    job.status = result.status
  }
}

/** Settles when QEMU is through with the dump (qemuDumpWaitForCompletion). @throws VIR_ERR_OPERATION_FAILED */
export async function dumpCompleted(job: AsyncJob): Promise<void> {
  const { result, error } = await job.until(() => job.told('DUMP_COMPLETED'))
  count(job, result as DumpResult)
  if ((result as DumpResult).status === 'completed') return
  const why = error === undefined ? ' for unknown reason' : `: ${error}`
  throw fail('VIR_ERR_OPERATION_FAILED', `memory-only dump failed${why}`)
}
