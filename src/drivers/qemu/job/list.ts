// What a guest is busy with, as objects: its async job, and the calls that hold it.
import { errorsFrom } from '../../../conf/error.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { abortJob } from './abort.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A job under way. */
export interface JobObject {
  /** tells it from the guest's other jobs, also when another shim has taken the guest over */
  id: string
  /** libvirt's virDomainJob or virDomainAsyncJob */
  kind: string
  /** the API that holds it */
  heldBy: string
  /** ms since the epoch */
  sinceMs: number
  /** the step it is in */
  phase?: string
  /** 0 to 100, never less than before; absent where nothing is counted */
  percent?: number
  bytesPerSecond?: number
  /** DELETE ends it */
  cancellable: boolean
}

const idOf = ({ kind, sinceMs }: { kind: string; sinceMs: number }) => `${kind}-${sinceMs}`

/** The jobs of a guest, the async one first, as QEMU has it now. */
export async function listJobs({ jobs }: Pick<QemuDomain, 'jobs'>): Promise<JobObject[]> {
  // QEMU may end it meanwhile
  await jobs.async?.update?.().catch(() => undefined)
  const held = jobs.held.map(job => ({
    id: idOf(job),
    kind: job.kind,
    heldBy: job.api,
    sinceMs: job.sinceMs,
    cancellable: false
  }))
  return [...(jobs.async ? [asyncObject(jobs.async)] : []), ...held]
}

function asyncObject(job: AsyncJob): JobObject {
  const { kind, phase, api: heldBy, sinceMs, percent } = job
  const rate = rateOf(job)
  return {
    id: idOf(job),
    kind,
    heldBy,
    sinceMs,
    ...(phase !== undefined && { phase }),
    ...(percent !== undefined && { percent }),
    ...(rate !== undefined && { bytesPerSecond: rate }),
    cancellable: kind !== 'start' && kind !== 'migration-in'
  }
}

/** Bytes a second, by QEMU's own count or on the average; undefined where nothing is counted. */
function rateOf({ stats, data }: AsyncJob): number | undefined {
  const count = (name: string) => Number(stats?.[name]?.value ?? 0)
  if (count('memory_total') + count('disk_total') === 0) return undefined
  const now = count('memory_bps') + count('disk_bps')
  const processed = count('memory_processed') + count('disk_processed')
  return now || Math.round((processed * 1000) / Math.max(data.elapsedMs, 1))
}

/** @throws VIR_ERR_OPERATION_INVALID for one that is over */
export async function getJob(domain: Pick<QemuDomain, 'jobs'>, id: string): Promise<JobObject> {
  const found = (await listJobs(domain)).find(job => job.id === id)
  if (!found) throw fail('VIR_ERR_OPERATION_INVALID', `no job '${id}' is active on the domain`)
  return found
}

/** Has a job given up, as virDomainAbortJob does. @throws VIR_ERR_OPERATION_INVALID for one that is over or goes on */
export async function cancelJob(domain: Pick<QemuDomain, 'jobs' | 'state' | 'reason'>, id: string): Promise<void> {
  const { cancellable, heldBy } = await getJob(domain, id)
  if (!cancellable) throw fail('VIR_ERR_OPERATION_INVALID', `job '${id}' of ${heldBy} cannot be cancelled`)
  await domain.jobs.run('abort', { api: 'virDomainAbortJob' }, () => abortJob(domain, 0))
}
