// The phases of a migration: calls that come one after the other, each of which goes on with the job of the one before. The
// phase is on disk before what it says is done, so that the next process knows how far it had come (qemuMigrationJobPhase).
import { virDomainMigrateFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import type { JobOwner } from '../../../state/job.ts'
import { step } from '../../../state/step.ts'
import type { MigrationParams } from '../../migration.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hasFailedInPostcopy, isInPostcopy } from '../job/postcopy.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** What is asked of a phase. */
export interface Asked {
  params: MigrationParams
  /** virDomainMigrateFlags */
  flags: number
}

/** The call of a phase. */
export interface PhaseCall {
  api: string
  /** aborts when the caller's connection closes; absent: it has none that outlasts the call */
  connection?: AbortSignal | undefined
}

/** Time that somebody without a connection, which would tell of his end, may leave a guest waiting. */
export const UNTIED_MS = 120_000

/** In libvirt's order: none goes back. */
const PHASES = [
  'begin3',
  'perform3',
  'perform3_done',
  'confirm3_cancelled',
  'confirm3',
  'prepare',
  'finish3',
  'postcopy_failed',
  'begin_resume',
  'perform_resume',
  'confirm_resume',
  'prepare_resume',
  'finish_resume'
] as const

export type Phase = (typeof PHASES)[number]

type Kind = 'migration-in' | 'migration-out'

/** @throws VIR_ERR_OPERATION_INVALID for a guest that is being migrated (qemuMigrationJobIsAllowed) */
export function checkNotMigrating({ jobs, name }: QemuDomain): void {
  const kind = jobs.async?.kind
  if (kind !== 'migration-in' && kind !== 'migration-out') return
  throw fail('VIR_ERR_OPERATION_INVALID', `another migration job is already running for domain '${name}'`)
}

/**
 * Runs with a migration's job held, which goes on when `work` releases it (qemuMigrationJobStart).
 * @throws VIR_ERR_OPERATION_INVALID, VIR_ERR_OPERATION_TIMEOUT
 */
export function startMigrationJob<T>(
  domain: QemuDomain,
  kind: Kind,
  owner: JobOwner,
  work: (job: AsyncJob) => Promise<T> | T
): Promise<T> {
  checkNotMigrating(domain)
  return domain.jobs.run({ async: kind }, owner, work)
}

/** Phases in which nobody is at work: the next call is waited for. */
const WAITING: readonly (string | undefined)[] = [
  'begin3',
  'perform3_done',
  'prepare',
  'postcopy_failed',
  'begin_resume',
  'perform_resume',
  'prepare_resume'
] satisfies Phase[]

/** Lets the job go on to the next call; it is over as well when the guest ends before that (qemuMigrationJobContinue). */
export function letGoOn(domain: QemuDomain, job: AsyncJob): void {
  job.release()
  void domain.run?.ended.then(() => {
    if (WAITING.includes(job.phase)) job.end()
  })
}

/** Ends the job of a guest of which nobody knows how it is, once its QEMU is gone; else the next process settles it. */
export function endAtLast({ run }: QemuDomain, job: AsyncJob, error: unknown): void {
  void Promise.resolve(run?.ended).then(() => job.end(error))
}

const NOT: Record<Kind, string> = {
  'migration-in': 'is not processing incoming migration',
  'migration-out': 'is not being migrated'
}

/** The job of an earlier phase. @throws VIR_ERR_OPERATION_INVALID where there is none (qemuMigrationJobIsActive) */
export function migrationJob({ jobs, name }: QemuDomain, kind: Kind): AsyncJob {
  const { async: job } = jobs
  if (job?.kind === kind) return job
  throw fail('VIR_ERR_OPERATION_INVALID', `domain '${name}' ${NOT[kind]}`)
}

/** Jobs that a call is at work on; no other may go on with them (asyncOwner). */
const attended = new WeakSet<AsyncJob>()

export const isAttended = (job: AsyncJob): boolean => attended.has(job)

/** Works on the job, alone. */
export async function attending<T>(job: AsyncJob, work: () => Promise<T>): Promise<T> {
  attended.add(job)
  try {
    return await work()
  } finally {
    attended.delete(job)
  }
}

const { VIR_MIGRATE_CHANGE_PROTECTION, VIR_MIGRATE_PEER2PEER, VIR_MIGRATE_POSTCOPY, VIR_MIGRATE_POSTCOPY_RESUME } =
  virDomainMigrateFlags

/** A migration that has failed in post-copy is to be brought on. */
export const isResume = ({ flags }: Pick<Asked, 'flags'>): boolean => (flags & VIR_MIGRATE_POSTCOPY_RESUME) !== 0

/**
 * The job of a migration that has failed in post-copy, to be brought on (qemuMigrationAnyCanResume).
 * @param expected the last phase it may have come to
 * @throws VIR_ERR_ARGUMENT_UNSUPPORTED, VIR_ERR_OPERATION_INVALID
 */
export function resumableJob(domain: QemuDomain, kind: Kind, flags: number, expected: Phase): AsyncJob {
  const unsupported = (what: string) =>
    fail('VIR_ERR_ARGUMENT_UNSUPPORTED', `resuming failed post-copy migration requires ${what}`)
  if ((flags & VIR_MIGRATE_POSTCOPY) === 0) throw unsupported('post-copy to be enabled')
  const isProtected = (flags & (VIR_MIGRATE_CHANGE_PROTECTION | VIR_MIGRATE_PEER2PEER)) !== 0
  if (kind === 'migration-out' && isBefore(expected, 'perform_resume') && !isProtected) {
    throw unsupported('change protection')
  }
  const job = migrationJob(domain, kind)
  const invalid = (message: string) => fail('VIR_ERR_OPERATION_INVALID', message)
  const { name } = domain
  if (isAttended(job)) throw invalid(`migration of domain ${name} is being actively monitored by another thread`)
  if (!isInPostcopy(domain)) throw invalid(`migration of domain ${name} is not in post-copy phase`)
  if (isBefore(job.phase, 'postcopy_failed') && !hasFailedInPostcopy(domain)) {
    throw invalid(`post-copy migration of domain ${name} has not failed`)
  }
  if (isBefore(expected, job.phase)) {
    throw invalid(`resuming failed post-copy migration of domain ${name} already in progress`)
  }
  return job
}

const isBefore = (one: string | undefined, other: string | undefined): boolean =>
  PHASES.indexOf(one as Phase) < PHASES.indexOf(other as Phase)

/** Enters a phase; it is on disk when this returns. @throws VIR_ERR_INTERNAL_ERROR for one that was before */
export function enterPhase(job: AsyncJob, phase: Phase): void {
  if (isBefore(phase, 'postcopy_failed') && isBefore(phase, job.phase)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `migration protocol going backwards ${job.phase} => ${phase}`)
  }
  job.phase = phase
  step(phase)
}
