// Jobs of QEMU's own: begun, followed to their end, dismissed.
import { errorsFrom, type VirError } from '../../../conf/error.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A job of query-jobs. */
export interface QmpJob {
  id: string
  type: string
  status: string
  'current-progress': number | bigint
  'total-progress': number | bigint
  /** why it failed */
  error?: string
}

/** The job of that id, as QEMU has it now. */
export async function findQemuJob(qmp: QmpMonitor, id: string): Promise<QmpJob | undefined> {
  return (await qmp.execute<QmpJob[]>('query-jobs')).find(job => job.id === id)
}

/** Rejects when the guest ends or QEMU's monitor is lost; waits for what comes of them end with it. */
export function lostGuest({ qmp, running }: QemuDomain): { lost: Promise<never>; stop(): void } {
  let reject: (error: VirError) => void = () => {}
  const lost = new Promise<never>((_, no) => {
    reject = no
  })
  lost.catch(() => undefined)
  const onClose = () => reject(fail('VIR_ERR_OPERATION_FAILED', 'domain is not running'))
  qmp.once('close', onClose)
  running.ended.then(onClose)
  return { lost, stop: () => qmp.off('close', onClose) }
}

/**
 * Runs a job of QEMU's to its end and dismisses it. It must not be one that QEMU dismisses by itself.
 * @param begin has QEMU begin a job of that id; with undefined it runs already
 * @param signal cancels it; what it then comes to is its end
 * @returns its error in QEMU's words; undefined where it succeeded
 * @throws what `begin` throws, and VIR_ERR_OPERATION_FAILED when the guest goes meanwhile
 */
export async function runQemuJob(
  domain: QemuDomain,
  id: string,
  begin?: () => Promise<unknown>,
  signal?: AbortSignal
): Promise<string | undefined> {
  let isThere = begin === undefined
  const begun =
    begin &&
    (async () => {
      await begin()
      isThere = true
    })
  try {
    const job = await qemuJobEnd(domain, id, begun, signal)
    return job?.error
  } finally {
    // of one that cannot be asked for, too
    if (isThere) await dismissJob(domain, id).catch(() => undefined)
  }
}

/** Lets QEMU forget a job that is over. */
export async function dismissJob({ qmp, log }: QemuDomain, id: string): Promise<void> {
  await qmp.execute('job-dismiss', { id }).catch(error => log.warn({ err: error, job: id }, 'a job of QEMU stays'))
}

/** As runQemuJob, of a job that QEMU keeps until it is dismissed. @returns undefined for one it does not know */
export async function qemuJobEnd(
  domain: QemuDomain,
  id: string,
  begin?: () => Promise<unknown>,
  signal?: AbortSignal
): Promise<QmpJob | undefined> {
  const { qmp, jobs } = domain
  let conclude = () => {}
  const concluded = new Promise<void>(resolve => {
    conclude = resolve
  })
  const { lost, stop } = lostGuest(domain)
  const cancel = () => void qmp.execute('job-cancel', { id }).catch(() => undefined)
  jobs.qemuJobs.set(id, {
    tell(event, { status }) {
      if (event === 'JOB_STATUS_CHANGE' && status === 'concluded') conclude()
    }
  })
  try {
    await begin?.()
    signal?.addEventListener('abort', cancel)
    if (signal?.aborted) cancel()
    // events that came before we listened
    const found = begin ? undefined : await findQemuJob(qmp, id)
    if (!begin && (!found || found.status === 'concluded')) conclude()
    await Promise.race([concluded, lost])
    return await findQemuJob(qmp, id)
  } finally {
    signal?.removeEventListener('abort', cancel)
    stop()
    jobs.qemuJobs.delete(id)
  }
}
