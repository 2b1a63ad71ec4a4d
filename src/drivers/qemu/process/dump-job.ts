// A dump of a guest's memory that QEMU is busy with: its progress, its end, and what is to follow. A shim that follows a
// killed one goes on with it here.
import { statSync } from 'node:fs'
import {
  virDomainCoreDumpFlags,
  virDomainEventSuspendedDetailType,
  virDomainEventType,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainShutoffReason,
  virDomainState
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { typed } from '../../../conf/wire.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { startCpus } from './cpus.ts'
import { dropMemoryFile, keepMemoryFile, WRITTEN } from './memory-file.ts'
import { stopDomain } from './stop.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_DUMP_CRASH, VIR_DUMP_MEMORY_ONLY, VIR_DUMP_RESET } = virDomainCoreDumpFlags
const PAUSED = virDomainPausedReason
const { VIR_DOMAIN_RUNNING_SAVE_CANCELED, VIR_DOMAIN_RUNNING_UNPAUSED } = virDomainRunningReason

/** QEMU's DumpStatus, in libvirt's order (qemuMonitorDumpStatus). */
const DUMP_STATUSES = ['none', 'active', 'completed', 'failed'] as const

/** QEMU's answer about a dump, in bytes (query-dump). */
interface DumpResult {
  status: (typeof DUMP_STATUSES)[number]
  completed: number | bigint
  total: number | bigint
}

/** True for a dump that QEMU does not give up. */
export const isMemoryOnly = ({ kind, flags = 0 }: Pick<AsyncJob, 'kind'> & { flags?: number }): boolean =>
  kind === 'dump' && (flags & VIR_DUMP_MEMORY_ONLY) !== 0

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

export interface DumpEnd {
  /** virDomainCoreDumpFlags */
  flags: number
  /** it ran before */
  resume: boolean
  /** there is no dump: the guest is neither ended nor reset */
  failed?: boolean
  /** virDomainRunningReason of one that is resumed */
  reason?: number
}

/**
 * Ends, resets or resumes the guest behind its dump (qemuDomainCoreDumpWithFormat).
 * @throws VIR_ERR_OPERATION_FAILED for one that is not reset; it is resumed all the same
 */
export async function endDump(domain: QemuDomain, end: DumpEnd): Promise<void> {
  const { flags, resume, failed = false, reason = VIR_DOMAIN_RUNNING_UNPAUSED } = end
  if (!domain.isActive) return
  if (!failed && (flags & VIR_DUMP_CRASH) !== 0) {
    return stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_CRASHED)
  }
  try {
    if (!failed && (flags & VIR_DUMP_RESET) !== 0) await domain.qmp.execute('system_reset')
  } finally {
    if (resume && domain.isActive) await resumeAfterDump(domain, reason)
  }
}

/** A guest that does not go on stays paused, and its dump is good. */
async function resumeAfterDump(domain: QemuDomain, reason: number): Promise<void> {
  try {
    await startCpus(domain, reason)
  } catch (error) {
    domain.log.error({ err: error }, 'resuming after dump failed')
    if (!domain.isActive) return
    if (domain.state === virDomainState.VIR_DOMAIN_PAUSED) domain.setPaused(PAUSED.VIR_DOMAIN_PAUSED_API_ERROR)
    const { VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR } = virDomainEventSuspendedDetailType
    domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR)
  }
}

/** States of a QEMU (RunState) whose guest was stopped by what is told to it. */
const STOPPED = ['paused', 'save-vm', 'finish-migrate', 'postmigrate']

/** True for a guest that was paused to be dumped, if only its QEMU knows; libvirt takes those for such that nobody knows why. */
async function isPausedForDump({ state, reason, def, isRunning, qmp }: QemuDomain): Promise<boolean> {
  if (isRunning) {
    const { status } = await qmp.execute<{ status: string }>('query-status')
    return STOPPED.includes(status)
  }
  if (state !== virDomainState.VIR_DOMAIN_PAUSED) return false
  const byWatchdog = reason === PAUSED.VIR_DOMAIN_PAUSED_WATCHDOG && def.devices.watchdogs[0]?.action === 'dump'
  return byWatchdog || reason === PAUSED.VIR_DOMAIN_PAUSED_DUMP || reason === PAUSED.VIR_DOMAIN_PAUSED_UNKNOWN
}

/**
 * Ends the dump of a former process: what was to follow follows, as far as the dump came to be whole. A file that did
 * not goes.
 */
export async function endRecovered(domain: QemuDomain, job: AsyncJob, error?: unknown): Promise<void> {
  const { flags } = job
  const failed = error !== undefined
  if (failed) {
    domain.log.error({ err: error }, 'the dump of a former process failed')
    dropMemoryFile(domain)
  } else keepMemoryFile(domain)
  const reason = failed ? VIR_DOMAIN_RUNNING_SAVE_CANCELED : VIR_DOMAIN_RUNNING_UNPAUSED
  try {
    await endDump(domain, { flags, resume: await isPausedForDump(domain), failed, reason })
  } catch (late) {
    domain.log.error({ err: late }, 'what was to follow a dump failed')
  }
  job.end(error)
}

/** Goes on with the memory-only dump of a former process; one that is over by now is ended when this returns. */
export async function recoverDump(domain: QemuDomain, job: AsyncJob): Promise<void> {
  followDump(domain, job)
  const result = await queryDump(domain)
  if (result.status !== 'active') job.tell('DUMP_COMPLETED', { result })
  if (!job.isRestored) return
  const untilWhole = async () => {
    if (job.phase === WRITTEN) return
    await dumpCompleted(job)
    if (result.status !== 'active') checkBegun(domain)
  }
  const ended = untilWhole().then(
    () => endRecovered(domain, job),
    error => endRecovered(domain, job, error)
  )
  if (result.status !== 'active') await ended
}

/** What QEMU calls completed is an earlier dump, where nothing was written. @throws VIR_ERR_OPERATION_FAILED */
function checkBegun({ run }: QemuDomain): void {
  const path = run?.memoryFile?.path
  const found = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false })
  if (found && (!found.isFile() || found.size > 0)) return
  throw fail('VIR_ERR_OPERATION_FAILED', 'the dump was not begun')
}
