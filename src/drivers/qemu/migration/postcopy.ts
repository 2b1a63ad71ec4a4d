// The state of a guest in post-copy, as its QEMU tells of it (qemuProcessHandleMigrationStatus).
//
//   source       paused, postcopy  ─► postcopy failed ─► brought on: postcopy ─► completed: QEMU is ended
//   destination  running, postcopy ─► postcopy failed ─► brought on: postcopy ─► completed: it has come
//
// From its first state on there is no way back. The job goes on while it stands still, and nothing but its completion, or
// somebody who destroys the guest, ends either QEMU.
import {
  virDomainEventResumedDetailType,
  virDomainEventSuspendedDetailType,
  virDomainEventType,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainState
} from '../../../conf/enums.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hasFailedInPostcopy, isInPostcopy } from '../job/postcopy.ts'
import { enterPhase, isAttended, letGoOn } from './phases.ts'

const { VIR_DOMAIN_PAUSED, VIR_DOMAIN_RUNNING } = virDomainState
const { VIR_DOMAIN_PAUSED_POSTCOPY, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED } = virDomainPausedReason
const { VIR_DOMAIN_RUNNING_POSTCOPY, VIR_DOMAIN_RUNNING_POSTCOPY_FAILED } = virDomainRunningReason
const { VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_SUSPENDED } = virDomainEventType
const SUSPENDED = virDomainEventSuspendedDetailType
const RESUMED = virDomainEventResumedDetailType

/** Its connection can be broken, which is all that can be done to it. */
export const pausePostcopy = ({ qmp }: QemuDomain, job: AsyncJob): void => {
  job.cancel = async () => {
    await qmp.execute('migrate-pause')
  }
}

/** The guest goes on there, and this side gives what it still wants of its memory. */
export function enterPostcopy(domain: QemuDomain, job: AsyncJob): void {
  job.status = 'postcopy'
  pausePostcopy(domain, job)
  if (isInPostcopy(domain)) return
  domain.setPaused(VIR_DOMAIN_PAUSED_POSTCOPY)
  domain.lifecycle(VIR_DOMAIN_EVENT_SUSPENDED, SUSPENDED.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY)
}

/**
 * Its other part cannot be reached: the source stays paused, and the destination runs as far as what it has goes
 * (qemuMigrationSrcPostcopyFailed, qemuMigrationDstPostcopyFailed).
 */
export function failPostcopy(domain: QemuDomain, job: AsyncJob): void {
  const { state } = domain
  const isSource = job.kind === 'migration-out'
  const fits = state === VIR_DOMAIN_PAUSED || (state === VIR_DOMAIN_RUNNING && !isSource)
  if (!fits || hasFailedInPostcopy(domain)) return
  domain.log.error({}, 'the migration failed in its post-copy phase')
  job.isStalled = true
  job.status = 'postcopy-paused'
  if (state === VIR_DOMAIN_RUNNING) {
    domain.setRunning(VIR_DOMAIN_RUNNING_POSTCOPY_FAILED)
    domain.lifecycle(VIR_DOMAIN_EVENT_RESUMED, RESUMED.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED)
    return
  }
  // a destination that stands still for another reason keeps that
  if (isSource) domain.setPaused(VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
  domain.lifecycle(VIR_DOMAIN_EVENT_SUSPENDED, SUSPENDED.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED)
}

/** Both parts are together again. */
function bringOn(domain: QemuDomain, job: AsyncJob): void {
  job.isStalled = false
  job.status = 'postcopy-recover'
  if (domain.state === VIR_DOMAIN_PAUSED) {
    domain.setPaused(VIR_DOMAIN_PAUSED_POSTCOPY)
    domain.lifecycle(VIR_DOMAIN_EVENT_SUSPENDED, SUSPENDED.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY)
  } else {
    domain.setRunning(VIR_DOMAIN_RUNNING_POSTCOPY)
    domain.lifecycle(VIR_DOMAIN_EVENT_RESUMED, RESUMED.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY)
  }
}

/** Acts on QEMU's MigrationStatus, whoever looks at the migration or nobody. */
export async function heardOfPostcopy(domain: QemuDomain, job: AsyncJob, status: unknown): Promise<void> {
  const isSource = job.kind === 'migration-out'
  switch (status) {
    case 'postcopy-active':
      // Differs from libvirt: one that a client has paused is in post-copy as well, and must not run on here
      if (isSource && domain.state === VIR_DOMAIN_PAUSED) enterPostcopy(domain, job)
      break
    case 'postcopy-paused':
      if (isSource || (isInPostcopy(domain) && !isAttended(job))) failPostcopy(domain, job)
      break
    case 'postcopy-recover':
      if (hasFailedInPostcopy(domain)) bringOn(domain, job)
      break
    case 'completed':
      await completeUnattended(domain, job)
  }
}

/**
 * Ends a migration that nobody waits for (qemuMigrationProcessUnattended): the guest has come, or has left. Does nothing
 * for others.
 */
export async function completeUnattended(domain: QemuDomain, job: AsyncJob): Promise<void> {
  if (job.phase !== 'postcopy_failed' || isAttended(job) || !isInPostcopy(domain)) return
  const isSource = job.kind === 'migration-out'
  enterPhase(job, isSource ? 'confirm_resume' : 'finish_resume')
  job.isStalled = false
  try {
    if (isSource) await (await import('./confirm.ts')).leave(domain, job, undefined)
    else await (await import('./destination.ts')).completePostcopy(domain, job)
  } finally {
    job.end()
  }
}

/**
 * Lets a migration in post-copy outlive the call that has failed: it can be brought on, and ends by itself if its QEMU
 * does without. @returns false for another, which is to be ended
 */
export function outlivesFailure(domain: QemuDomain, job: AsyncJob): boolean {
  if (!domain.isActive || !isInPostcopy(domain)) return false
  const isComplete = job.told('MIGRATION')?.status === 'completed'
  if (!isComplete) failPostcopy(domain, job)
  enterPhase(job, 'postcopy_failed')
  letGoOn(domain, job)
  // whoever fails is at work on it until it has told so
  if (isComplete) {
    setImmediate(() => {
      completeUnattended(domain, job).catch(error =>
        domain.log.error({ err: error }, 'a migration that is complete could not be ended')
      )
    })
  }
  return true
}

/** Fails it when the client is gone that was to go on with it (qemuMigrationAnyConnectionClosed). */
export function failWith(connection: AbortSignal | undefined, domain: QemuDomain, job: AsyncJob): void {
  const { phase } = job
  const gone = () => {
    if (domain.jobs.async !== job || job.phase !== phase || isAttended(job)) return
    domain.log.warn({ phase }, 'the connection which controls the migration was closed')
    outlivesFailure(domain, job)
  }
  // the call is over first
  if (connection?.aborted) setImmediate(gone)
  else connection?.addEventListener('abort', gone, { once: true })
}
