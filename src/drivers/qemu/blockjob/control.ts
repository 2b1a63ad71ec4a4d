// A job under way: how far it is, how fast it may go, its end (qemuDomainBlockJobAbort, qemuBlockPivot).
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DiskMirror } from '../../../conf/devices/disk-mirror.ts'
import { virDomainBlockJobAbortFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { storageIds } from '../block/node-names.ts'
import { effectiveNode } from '../block/nodes.ts'
import { type BlockJob, blockJobOf, isOver, jobDisk } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { QmpError } from '../monitor/qmp.ts'
import { isRefusal } from '../process/monitor.ts'
import { askLater } from './begin.ts'
import { recordFrom } from './bitmaps.ts'
import { below, imageNumbered } from './chain.ts'
import { isLateChain } from './copy.ts'
import { type BlockJobWatch, TYPES, watchOf } from './job.ts'
import { removeLoose } from './loose-images.ts'
import { openChain } from './new-image.ts'
import { speedMib } from './speed.ts'
import { standsOn } from './top-node.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT } = virDomainBlockJobAbortFlags

/** A job of query-block-jobs. */
interface QmpBlockJob {
  device: string
  len: number | bigint
  offset: number | bigint
  speed: number | bigint
  ready?: boolean
}

export interface BlockJobInfo {
  /** virDomainBlockJobType */
  type: number
  /** MiB/s, or bytes/s */
  bandwidth: bigint
  cur: bigint
  end: bigint
}

/** @throws VIR_ERR_INVALID_ARG for a disk that has none */
function jobOn(domain: QemuDomain, path: string): { disk: DiskDef; job: BlockJob } {
  const disk = jobDisk(domain.def, path)
  const job = blockJobOf(domain, disk)
  if (!job) throw fail('VIR_ERR_INVALID_ARG', `disk ${disk.target?.dev} does not have an active block job`)
  return { disk, job }
}

/** Progress of a disk's job; undefined if it has none. @throws VIR_ERR_INVALID_ARG (qemuDomainGetBlockJobInfo) */
export async function blockJobInfo(
  domain: QemuDomain,
  path: string,
  isBytes: boolean
): Promise<BlockJobInfo | undefined> {
  const job = blockJobOf(domain, jobDisk(domain.def, path))
  if (!job) return undefined
  const type = TYPES[job.kind]
  const find = async () =>
    (await domain.qmp.execute<QmpBlockJob[]>('query-block-jobs')).find(({ device }) => device === job.name)
  let found = await find()
  if (found && isAboutToBeReady(job, found)) {
    await watchOf(job)?.tellReady(READY_MS)
    found = await find()
  }
  // over in QEMU, not here
  if (!found) return { type, bandwidth: 0n, cur: 0n, end: 1n }
  const speed = BigInt(found.speed)
  return { type, bandwidth: isBytes ? speed : speedMib(speed), ...progressOf(found) }
}

/** Time in which QEMU mostly has on disk what it has copied. */
const READY_MS = 200

/**
 * All is copied, and clients do not know: they wait for the event, but look for it only once in a while, after an answer
 * to how far the job is.
 */
const isAboutToBeReady = ({ kind, state }: BlockJob, { len, offset }: QmpBlockJob): boolean =>
  (kind === 'copy' || kind === 'active-commit') && state === 'running' && BigInt(offset) === BigInt(len)

/** Clients take a job for done when both are equal (qemuBlockJobInfoTranslate). */
function progressOf({ len, offset, ready }: QmpBlockJob): { cur: bigint; end: bigint } {
  const [cur, end] = [BigInt(offset), BigInt(len)]
  if (cur === 0n && end === 0n && ready !== undefined) return { cur: ready ? 1n : 0n, end: 1n }
  return { cur: ready === false && cur === end && cur > 0n ? cur - 1n : cur, end }
}

/** @param speed bytes/s; 0: as fast as can be. @throws VIR_ERR_INVALID_ARG (qemuDomainBlockJobSetSpeed) */
export async function setBlockJobSpeed(domain: QemuDomain, path: string, speed: bigint): Promise<void> {
  const { job } = jobOn(domain, path)
  await domain.qmp.execute('block-job-set-speed', { device: job.name, speed }).catch(unlessGone(job))
}

/** @throws VIR_ERR_OPERATION_INVALID where QEMU has no such job any more (qemuMonitorJSONBlockJobError) */
const unlessGone = (job: BlockJob) => {
  return (error: Error): never => {
    const { cause } = error
    if (!(cause instanceof QmpError) || cause.class !== 'DeviceNotActive') throw error
    throw notActive(job, cause)
  }
}

const notActive = ({ name }: BlockJob, cause?: QmpError) =>
  fail('VIR_ERR_OPERATION_INVALID', `No active block job '${name}'`, cause)

/**
 * Ends a job: the disk goes on with what it was copied to, or stays where it is.
 * @param flags virDomainBlockJobAbortFlags
 * @throws VIR_ERR_INVALID_ARG where there is none, VIR_ERR_OPERATION_INVALID for one that is being ended,
 *   VIR_ERR_BLOCK_COPY_ACTIVE for a pivot to an image that is not in step, VIR_ERR_OPERATION_FAILED for one that failed
 */
export async function abortBlockJob(domain: QemuDomain, path: string, flags: number): Promise<void> {
  const { disk, job } = jobOn(domain, path)
  const watch = watchOf(job)
  if (job.state === 'aborting' || job.state === 'pivoting') {
    throw fail('VIR_ERR_OPERATION_INVALID', `block job on disk '${disk.target?.dev}' is still being ended`)
  }
  const isPivot = (flags & VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT) !== 0
  const end = () => (isPivot ? pivotBlockJob(domain, disk, job) : cancelBlockJob(domain, disk, job))
  if (!watch || (flags & VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC) !== 0) return end()
  watch.hold()
  try {
    await end()
    const { outcome, error } = await watch.finish()
    if (!isPivot || outcome === 'completed') return
    const why = error === undefined ? '' : `: ${error}`
    throw fail('VIR_ERR_OPERATION_FAILED', `block job '${job.name}' failed while pivoting${why}`)
  } finally {
    watch.release()
  }
}

/** Has QEMU give a job up. Saved before QEMU is told: who finds its end must know that it was asked for. */
export async function cancelBlockJob(domain: QemuDomain, disk: DiskDef, job: BlockJob): Promise<void> {
  // what it came to is saved, and must stay
  if (isOver(job)) throw notActive(job)
  const order = () => domain.qmp.execute('block-job-cancel', { device: job.name, force: false }).catch(unlessGone(job))
  await within(domain, disk, job, 'abort', { order })
}

/** Has QEMU go on with the other image. @throws VIR_ERR_BLOCK_COPY_ACTIVE for one that is not in step */
export async function pivotBlockJob(domain: QemuDomain, disk: DiskDef, job: BlockJob): Promise<void> {
  if (job.state !== 'ready') {
    throw fail('VIR_ERR_BLOCK_COPY_ACTIVE', `block job '${job.name}' not ready for pivot yet`)
  }
  await within(domain, disk, job, 'pivot', {
    async prepare() {
      if (job.kind === 'copy') await openLateChain(domain, disk, job)
      const next = job.kind === 'copy' ? disk.mirror?.source : imageNumbered(disk, job.base)
      if (next) await recordFrom(domain, next)
    },
    order: () => domain.qmp.execute('job-complete', { id: job.name })
  })
}

/** The images below one that is reused are opened and put under it now: its user had until now to fill them. */
async function openLateChain(domain: QemuDomain, disk: DiskDef, job: BlockJob): Promise<void> {
  const mirror = disk.mirror?.source
  const chain = mirror && below(mirror)
  if (!mirror || !chain || !isLateChain(job)) return
  const overlay = storageIds(mirror).formatNode
  if (domain.running.looseImages.has(chain.index!)) {
    // a pivot that came to nothing has opened them
    if (await standsOn(domain, [overlay])) return
    await removeLoose(domain, chain.index!)
  }
  const opened = await openChain(domain, disk, chain)
  try {
    const data = { node: effectiveNode(chain, domain.context.qemu), overlay }
    await domain.qmp.execute('transaction', { actions: [{ type: 'blockdev-snapshot', data }] })
  } catch (error) {
    await opened.discard()
    throw error
  }
}

interface Step {
  /** what does not end the job yet */
  prepare?(): Promise<void>
  /** has QEMU end it */
  order(): Promise<unknown>
}

/** Tells of the step it is in; it goes back where that fails, but not where QEMU may yet do what it was told. */
async function within(
  domain: QemuDomain,
  disk: DiskDef,
  job: BlockJob,
  ready: 'abort' | 'pivot',
  { prepare, order }: Step
): Promise<void> {
  const [before, mirrored] = [job.state, disk.mirror?.ready]
  const enter = (state: BlockJob['state'], shown: DiskMirror['ready']) => {
    job.state = state
    if (disk.mirror) disk.mirror.ready = shown
    domain.changed()
  }
  enter(ready === 'abort' ? 'aborting' : 'pivoting', ready)
  let isTold = false
  try {
    await prepare?.()
    isTold = true
    await order()
  } catch (error) {
    const watch = watchOf(job)
    if (!isTold || !watch || isRefusal(error)) enter(before, mirrored)
    else void askLater(domain, watch)
    throw error
  }
}

/** Has QEMU finish a job that waits for it. */
export const finalizeBlockJob = ({ qmp }: QemuDomain, { job }: BlockJobWatch): Promise<unknown> =>
  qmp.execute('job-finalize', { id: job.name })
