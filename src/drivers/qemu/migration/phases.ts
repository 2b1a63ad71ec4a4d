// The phases of a migration: calls that come one after the other, each of which goes on with the job of the one before. The
// phase is on disk before what it says is done, so that the next process knows how far it had come (qemuMigrationJobPhase).
import { virDomainMigrateFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import type { JobOwner } from '../../../state/job.ts'
import { step } from '../../../state/step.ts'
import type { MigrationParams } from '../../migration.ts'
import type { QemuDomain } from '../domain/domain.ts'

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
const WAITING: readonly (string | undefined)[] = ['begin3', 'perform3_done', 'prepare'] satisfies Phase[]

/** Lets the job go on to the next call; it is over as well when the guest ends before that (qemuMigrationJobContinue). */
export function letGoOn(domain: QemuDomain, job: AsyncJob): void {
  job.release()
  void domain.run?.ended.then(() => {
    if (WAITING.includes(job.phase)) job.end()
  })
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

/**
 * Looks whether a post-copy that has failed can go on; none can yet (qemuMigrationAnyCanResume).
 * @throws VIR_ERR_ARGUMENT_UNSUPPORTED, VIR_ERR_OPERATION_INVALID
 */
export function refuseResume(domain: QemuDomain, kind: Kind, flags: number): never {
  if ((flags & virDomainMigrateFlags.VIR_MIGRATE_POSTCOPY) === 0) {
    const why = 'resuming failed post-copy migration requires post-copy to be enabled'
    throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', why)
  }
  migrationJob(domain, kind)
  throw fail('VIR_ERR_OPERATION_INVALID', `migration of domain ${domain.name} is not in post-copy phase`)
}

/** Enters a phase; it is on disk when this returns. @throws VIR_ERR_INTERNAL_ERROR for one that was before */
export function enterPhase(job: AsyncJob, phase: Phase): void {
  const now = PHASES.indexOf(job.phase as Phase)
  const next = PHASES.indexOf(phase)
  if (next < PHASES.indexOf('postcopy_failed') && next < now) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `migration protocol going backwards ${job.phase} => ${phase}`)
  }
  job.phase = phase
  step(phase)
}
