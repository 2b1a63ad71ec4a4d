// Long work as virsh shows it: how far it has come, and Ctrl + C to give it up (virshWatchJob, virshBlockJobWait).
import { setTimeout as sleep } from 'node:timers/promises'
import { virDomainBlockJobAbortFlags, virDomainJobType } from '../conf/enums.ts'
import type { DomainCall } from './command.ts'
import type { Connection } from './connection.ts'
import { saying } from './failure.ts'
import { BLOCK_JOB_STATUSES } from './names.ts'
import type { Session } from './session.ts'

const POLL_MS = 500
const BLOCK_JOB_EVENTS = ['VIR_DOMAIN_EVENT_ID_BLOCK_JOB', 'VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2']
/** 100 % is for what is over. */
const NEARLY = 99.99

/** Shows how far something is: what is left of the whole, both in one unit (virshPrintJobProgress). */
export function showProgress(session: Session, label: string, left: number | bigint, total: number | bigint): void {
  const done = Number(left) === 0 ? 100 : Math.min(100 - (Number(left) * 100) / Number(total), NEARLY)
  session.showProgress(`${label}: [${(Math.floor(done * 100) / 100).toFixed(2).padStart(5)} %]`)
}

export interface JobWatch {
  /** what the job is, in front of its progress */
  label: string
  /** shows the progress */
  verbose: boolean
  /** what is done when it has counted something and takes longer than that */
  late?: { afterS: number; act(): Promise<unknown> } | undefined
}

/**
 * Waits for a call that is an async job of its guest's. Ctrl + C has the job given up, which then fails.
 * @throws what the call throws
 */
export async function watchJob<T>(
  { session, shim }: Pick<DomainCall, 'session' | 'shim'>,
  watch: JobWatch,
  work: Promise<T>
): Promise<T> {
  const { label, verbose, late } = watch
  const over = new AbortController()
  let aborted: Promise<unknown> | undefined
  const interrupted = () => {
    aborted = shim.call('virDomainAbortJob').catch(error => session.warn(error.message))
  }
  process.once('SIGINT', interrupted)
  const shown = verbose || late ? followJob(session, shim, watch, over.signal) : undefined
  try {
    const result = await work
    if (verbose) showProgress(session, label, 0, 1)
    return result
  } finally {
    over.abort()
    await Promise.all([shown, aborted])
    process.removeListener('SIGINT', interrupted)
  }
}

/** Follows whatever job the guest has until the signal comes; a call that fails is made again. */
async function followJob(session: Session, shim: Connection, watch: JobWatch, signal: AbortSignal): Promise<void> {
  const { label, verbose, late } = watch
  let timer: NodeJS.Timeout | undefined
  while (await waited(signal)) {
    const info = await shim.call('virDomainGetJobInfo').catch(() => undefined)
    if (signal.aborted || !info || info.type === virDomainJobType.VIR_DOMAIN_JOB_NONE) continue
    if (Number(info.dataTotal) === 0) continue
    if (verbose) showProgress(session, label, info.dataRemaining, info.dataTotal)
    // what it does may fail as the job ends
    if (late) timer ??= setTimeout(() => void late.act().catch(() => undefined), late.afterS * 1000)
  }
  clearTimeout(timer)
}

/** False once the signal has come. */
const waited = (signal: AbortSignal) => sleep(POLL_MS, !signal.aborted, { signal }).catch(() => false)

/** The end of a block job, or of its first half: one of two halves is `ready` then. */
export type BlockJobEnd = 'completed' | 'failed' | 'canceled' | 'ready'

export interface BlockJobWait {
  /** the disk as the user called it: its target or its source */
  disk: string
  /** what the job is, in front of its progress */
  label: string
  /** shows the progress */
  verbose: boolean
  /** the job is given up when it takes longer, and on Ctrl + C */
  timeoutS?: number | undefined
  /** giving it up is not waited for */
  asyncAbort?: boolean
}

/**
 * Begins a block job and waits for its end, or until it is ready.
 * @throws what `begin` throws, and ClientError when the job cannot be asked for or given up
 */
export async function runBlockJob(
  { session, shim, uuid }: Pick<DomainCall, 'session' | 'shim' | 'uuid'>,
  { disk, label, verbose, timeoutS, asyncAbort = false }: BlockJobWait,
  begin: () => Promise<unknown>
): Promise<BlockJobEnd> {
  const over = new AbortController()
  let givesUp = false
  const interrupted = () => {
    givesUp = true
  }
  process.once('SIGINT', interrupted)
  try {
    const told = await blockJobEvents(shim, { uuid, disk }, over.signal)
    await begin()
    const limit = timeoutS ? Date.now() + timeoutS * 1000 : Number.POSITIVE_INFINITY
    let last = ''
    let end: BlockJobEnd | undefined
    while (end === undefined) {
      const query = shim.call('virDomainGetBlockJobInfo', { disk })
      const { found, cur, end: total } = await saying(`failed to query job for disk ${disk}`, query)
      if (verbose && found !== 0 && last !== `${cur}/${total}`) {
        showProgress(session, label, BigInt(total) - BigInt(cur), total)
      }
      last = `${cur}/${total}`
      if (givesUp || Date.now() > limit) {
        const flags = asyncAbort ? virDomainBlockJobAbortFlags.VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC : 0
        const call = shim.call('virDomainBlockJobAbort', { disk, flags })
        await saying(`failed to abort job for disk '${disk}'`, call)
        end = 'canceled'
      } else end = await Promise.race([told.end, sleep(POLL_MS, undefined)])
    }
    if (verbose && (end === 'completed' || end === 'ready')) showProgress(session, label, 0, 1)
    return end
  } finally {
    over.abort()
    process.removeListener('SIGINT', interrupted)
  }
}

/** What becomes of a disk's job, listened for from the moment this returns; it never settles once the signal has come. */
async function blockJobEvents(
  shim: Connection,
  { uuid, disk }: { uuid: string; disk: string },
  signal: AbortSignal
): Promise<{ end: Promise<BlockJobEnd> }> {
  const events = await shim.events(signal)
  const end = new Promise<BlockJobEnd>(settle => {
    const follow = async () => {
      for await (const { event, data } of events) {
        const of = data.dom as { uuid: string }
        if (!BLOCK_JOB_EVENTS.includes(event) || of.uuid !== uuid || (data.path ?? data.dst) !== disk) continue
        const status = BLOCK_JOB_STATUSES[Number(data.status)]
        if (status !== undefined) settle(status as BlockJobEnd)
      }
    }
    // without events the job's own answers say when there is none that answers
    follow().catch(() => undefined)
  })
  return { end }
}
