// The begin of a job on a disk. QEMU may not answer, and have begun it all the same: nothing is taken back before it has
// said that it has no such job.
import { setTimeout as sleep } from 'node:timers/promises'
import { toVirError } from '../../../conf/error.ts'
import type { BlockJob } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { isRefusal, untilHeard } from '../process/monitor.ts'
import { type BlockJobWatch, type JobEnds, registerBlockJob } from './job.ts'
import { findQemuJob } from './qemu-job.ts'

/** Time between two questions to a QEMU that does not answer them. */
const PAUSE_MS = 100

/** A job that is about to begin. */
export interface Beginning {
  /** tells QEMU */
  order(): Promise<unknown>
  /** it has begun; called before that is saved */
  kept?(): void
  /** it has not; called before that is saved */
  dropped?(): void
  /** takes back what was made for it, once that is saved */
  undo?(): Promise<void>
  /** the caller holds the guest, and sees to the job's end */
  held?: true | undefined
}

/**
 * Registers a job and has QEMU begin it.
 * @throws VIR_ERR_INTERNAL_ERROR where the disk has one, or with QEMU's words: nothing of it is left then. Where QEMU does
 *   not answer, the job is there as long as QEMU may have it, and goes once QEMU says that it has not.
 */
export async function beginBlockJob(
  domain: QemuDomain,
  job: BlockJob,
  ends: JobEnds,
  { order, kept, dropped, undo, held }: Beginning
): Promise<BlockJobWatch> {
  let watch: BlockJobWatch | undefined
  const keep = (begun: BlockJobWatch) => {
    kept?.()
    begun.started()
    return begun
  }
  const drop = async () => {
    dropped?.()
    watch?.drop()
    await undo?.()
  }
  try {
    watch = registerBlockJob(domain, job, ends)
    if (held) watch.hold()
    await order()
    return keep(watch)
  } catch (error) {
    if (!watch || isRefusal(error)) {
      await drop()
      throw error
    }
    const found = await statusOf(domain, job.name)
    if (found?.status !== undefined) {
      keep(watch).found(found.status)
      return watch
    }
    if (found) await drop()
    else void settleLater(domain, watch, { keep, drop })
    throw error
  }
}

/** How QEMU has a job; without a status it has none. @returns undefined where it does not say */
async function statusOf(domain: QemuDomain, id: string): Promise<{ status?: string | undefined } | undefined> {
  const heard = await untilHeard(domain)
  if (heard === 'ended') return {}
  if (heard === 'never') return undefined
  return findQemuJob(domain.qmp, id).then(
    found => ({ status: found?.status }),
    () => undefined
  )
}

/** Asks QEMU for a job until it has an answer, or is gone. */
async function untilKnown(domain: QemuDomain, id: string): Promise<{ status?: string | undefined } | undefined> {
  const { run } = domain
  for (; run && domain.run === run; await sleep(PAUSE_MS)) {
    if (run.monitor?.closed) return undefined
    const found = await statusOf(domain, id)
    if (found) return found
  }
  return {}
}

interface Settling {
  keep(watch: BlockJobWatch): unknown
  drop(): Promise<void>
}

/** Keeps or drops a job once QEMU answers. */
async function settleLater(domain: QemuDomain, watch: BlockJobWatch, { keep, drop }: Settling): Promise<void> {
  const { run, jobs, log } = domain
  const settle = async () => {
    const found = await untilKnown(domain, watch.job.name)
    if (!found || domain.run !== run) return
    if (found.status === undefined) return drop()
    keep(watch)
    watch.found(found.status)
  }
  for (;;) {
    try {
      await untilKnown(domain, watch.job.name)
      return await jobs.run('modify', { api: 'block job' }, settle)
    } catch (error) {
      if (toVirError(error).code === 'VIR_ERR_OPERATION_TIMEOUT') continue
      return log.error({ err: error, job: watch.job.name }, 'a block job could not be followed')
    }
  }
}

/** Has a job hear how it is, once QEMU answers: of an order to end it that was not answered, nobody knows what became. */
export async function askLater(domain: QemuDomain, watch: BlockJobWatch): Promise<void> {
  const found = await untilKnown(domain, watch.job.name)
  if (found && domain.isActive && !watch.hasEnded) watch.found(found.status)
}
