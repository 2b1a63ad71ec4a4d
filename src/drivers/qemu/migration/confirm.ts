// The last phase at the side a guest leaves: it is ended as the guest runs there, or goes on here
// (qemuMigrationSrcConfirm). Who has not heard of the guest asks the destination (ask-witness.ts), and until that is known
// the guest stands still, whoever waits for it.
import {
  virDomainEventSuspendedDetailType,
  virDomainEventType,
  virDomainMigrateFlags,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainShutoffReason,
  virDomainState
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { ASYNC_JOBS, type AsyncJob } from '../../../state/async-job.ts'
import { step } from '../../../state/step.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hasFailedInPostcopy, isInPostcopy } from '../job/postcopy.ts'
import { startCpus } from '../process/cpus.ts'
import { stopDomain } from '../process/stop.ts'
import { isElsewhere, tellLeft } from './ask-witness.ts'
import { dropTemporaryBitmaps } from './bitmaps.ts'
import { jobStats, type MigrationCookie, parseCookie } from './cookie.ts'
import { clientsMoved, isFollowed } from './graphics.ts'
import { readerOf } from './own-cookie.ts'
import { resetSettings } from './params.ts'
import {
  type Asked,
  attending,
  endAtLast,
  enterPhase,
  isAttended,
  isResume,
  letGoOn,
  migrationJob,
  resumableJob,
  UNTIED_MS
} from './phases.ts'
import { failPostcopy, outlivesFailure } from './postcopy.ts'
import { completeJob, queryMigrate } from './progress.ts'
import { dropTls } from './tls.ts'
import { unlockMemory } from './zero-copy.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const FLAGS = virDomainMigrateFlags
const { VIR_DOMAIN_PAUSED_API_ERROR, VIR_DOMAIN_PAUSED_IOERROR } = virDomainPausedReason
const { VIR_DOMAIN_PAUSED } = virDomainState

/** The guest stays, and is as it was (qemuMigrationSrcRestoreDomainState, qemuMigrationParamsReset). */
export async function runOn(domain: QemuDomain, job: AsyncJob): Promise<void> {
  const { run } = domain
  if (!run || !domain.isActive) return
  if (isInPostcopy(domain)) return failPostcopy(domain, job)
  const { ran } = run.departure ?? {}
  run.departure = undefined
  const isHeld = domain.state === VIR_DOMAIN_PAUSED && domain.reason !== VIR_DOMAIN_PAUSED_IOERROR
  try {
    if (ran && isHeld) {
      await job.nested(() => startCpus(domain, virDomainRunningReason.VIR_DOMAIN_RUNNING_MIGRATION_CANCELED))
    }
  } catch (error) {
    domain.log.warn({ err: error }, 'the guest cannot be resumed after its migration has failed')
    if (domain.isActive) {
      domain.setPaused(VIR_DOMAIN_PAUSED_API_ERROR)
      domain.lifecycle(
        virDomainEventType.VIR_DOMAIN_EVENT_SUSPENDED,
        virDomainEventSuspendedDetailType.VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR
      )
    }
  }
  await resetOwn(domain)
}

/** QEMU is as it was before the migration. */
async function resetOwn(domain: QemuDomain): Promise<void> {
  const { run } = domain
  await dropTemporaryBitmaps(domain)
  await unlockMemory(domain)
  if (!run?.migrationParameters) return
  await resetSettings(domain, run.migrationParameters)
  await dropTls(domain)
  run.migrationParameters = undefined
  domain.settled()
}

/** Whoever is to go on with it is gone: between two phases it is given up (qemuMigrationAnyConnectionClosed). */
export function endWith(connection: AbortSignal | undefined, domain: QemuDomain, job: AsyncJob): void {
  const { phase } = job
  const gone = () => {
    // whoever is at work on it settles it
    if (domain.jobs.async !== job || job.phase !== phase || isAttended(job)) return
    domain.log.warn({ phase }, 'the connection which controls the migration was closed')
    if (outlivesFailure(domain, job)) return
    const settled = phase === 'perform3_done' ? settleAlone(domain, job) : giveUp(domain, job)
    void settled.catch(error => domain.log.error({ err: error }, 'the migration could not be settled'))
  }
  if (connection?.aborted) gone()
  else if (connection) connection.addEventListener('abort', gone, { once: true })
  // one that has not begun stands in nobody's way, and one in post-copy goes on by itself
  else if (phase === 'perform3_done' && domain.run?.departure?.witness && !isInPostcopy(domain)) {
    setTimeout(gone, UNTIED_MS).unref()
  }
}

/** It has not begun, or nobody is to go on with it: QEMU is as it was, and the guest stands still if it does. */
export async function giveUp(domain: QemuDomain, job: AsyncJob): Promise<void> {
  enterPhase(job, 'confirm3_cancelled')
  await resetOwn(domain).catch(error => {
    endAtLast(domain, job, error)
    throw error
  })
  if (domain.run) domain.run.departure = undefined
  job.end()
}

/**
 * Ends a migration whose client says nothing any more: the destination is asked whether it has the guest. Without one that
 * answers the guest stands still, as libvirt's does, and its job ends.
 */
export async function settleAlone(domain: QemuDomain, job: AsyncJob): Promise<void> {
  const whereabouts = asking(domain, job)
  return whereabouts ? settle(domain, job, whereabouts) : giveUp(domain, job)
}

/** Acts on the destination's word once there is one. */
async function settle(domain: QemuDomain, job: AsyncJob, whereabouts: Promise<boolean | undefined>): Promise<void> {
  const isLeft = await whereabouts
  if (isLeft === undefined || domain.jobs.async !== job || job.phase !== 'perform3_done') return
  try {
    await conclude(domain, job, { flags: job.flags, cookie: undefined, isLeft })
  } finally {
    job.end()
  }
}

/** Asks the destination of a guest that stands still; who does not want to wait gives the migration up. */
function asking(domain: QemuDomain, job: AsyncJob): Promise<boolean | undefined> | undefined {
  const witness = domain.run?.departure?.witness
  if (!witness || job.phase !== 'perform3_done') return undefined
  job.cancel = () => giveUp(domain, job)
  return isElsewhere(witness, () => !domain.isActive || domain.jobs.async !== job || job.phase !== 'perform3_done')
}

/**
 * The last phase: the guest runs there and is ended here, or it goes on here (qemuMigrationSrcConfirm).
 * @param cancelled the other side does not have it
 */
export async function confirmMigration(
  domain: QemuDomain,
  asked: Asked,
  cookie: string | undefined,
  cancelled: boolean
): Promise<void> {
  const { flags } = asked
  const job = isResume(asked)
    ? resumableJob(domain, 'migration-out', flags, 'perform_resume')
    : migrationJob(domain, 'migration-out')
  try {
    await attending(job, () => confirm(domain, job, { flags, cookie, cancelled }))
  } finally {
    if (!outlivesFailure(domain, job) && !isUnsettled(job)) job.end()
  }
}

/** The last phase's work (qemuMigrationSrcConfirmPhase). */
export async function confirm(
  domain: QemuDomain,
  job: AsyncJob,
  { flags, cookie, cancelled }: { flags: number; cookie: string | undefined; cancelled: boolean }
): Promise<void> {
  const isLeft = !cancelled || (await hasLeft(domain, job))
  await conclude(domain, job, { flags, cookie, isLeft })
}

async function conclude(
  domain: QemuDomain,
  job: AsyncJob,
  { flags, cookie, isLeft }: { flags: number; cookie: string | undefined; isLeft: boolean }
): Promise<void> {
  if ((flags & FLAGS.VIR_MIGRATE_POSTCOPY_RESUME) !== 0) enterPhase(job, 'confirm_resume')
  else if (!hasFailedInPostcopy(domain)) enterPhase(job, isLeft ? 'confirm3' : 'confirm3_cancelled')
  const heard = parseCookie(cookie, readerOf(domain), ['statistics'])
  if ((flags & FLAGS.VIR_MIGRATE_OFFLINE) === 0) await (isLeft ? leave(domain, job, heard) : runOn(domain, job))
  if (isLeft && (flags & FLAGS.VIR_MIGRATE_UNDEFINE_SOURCE) !== 0) forget(domain)
}

/** Time its client waits at most for the destination's word; the guest stands still for as long as it takes. */
const PATIENCE_MS = 60_000

/** Migrations whose clients know of no end of them: the destination is being asked. */
const unsettled = new WeakSet<AsyncJob>()

/** Such a one goes on when the call that asked is over. */
export const isUnsettled = (job: AsyncJob): boolean => unsettled.has(job)

/**
 * QEMU has sent all of it, and its client has not heard that it runs there: it may do so all the same.
 * @throws VIR_ERR_OPERATION_FAILED while nobody knows, VIR_ERR_OPERATION_ABORTED once it is given up
 */
async function hasLeft(domain: QemuDomain, job: AsyncJob): Promise<boolean> {
  // in post-copy QEMU knows by itself
  if (isInPostcopy(domain)) return (await queryMigrate(domain)).status === 'completed'
  const whereabouts = asking(domain, job)
  if (!whereabouts) return false
  const late = new Promise<'late'>(done => setTimeout(done, PATIENCE_MS, 'late').unref())
  const isLeft = await Promise.race([whereabouts, late])
  if (isLeft === 'late') {
    const host = domain.run?.departure?.witness?.host
    const message = `destination '${host}' does not tell whether domain '${domain.name}' runs there: it stays paused here until that is known, or its job is aborted`
    domain.log.error({}, message)
    unsettled.add(job)
    letGoOn(domain, job)
    void settle(domain, job, whereabouts).catch(error =>
      domain.log.error({ err: error }, 'the migration could not be settled')
    )
    throw fail('VIR_ERR_OPERATION_FAILED', message)
  }
  if (isLeft === undefined && domain.isActive) {
    throw fail('VIR_ERR_OPERATION_ABORTED', `job '${ASYNC_JOBS[job.kind].name}' canceled by client`)
  }
  if (isLeft) domain.log.warn({}, 'the guest runs at its destination, whose answer was lost')
  return isLeft === true
}

/** Ends QEMU: the guest runs elsewhere (qemuMigrationSrcComplete). */
export async function leave(domain: QemuDomain, job: AsyncJob, heard: MigrationCookie | undefined): Promise<void> {
  // what was counted when post-copy began is less than it came to
  if (isInPostcopy(domain)) await job.update?.().catch(err => domain.log.warn({ err }, 'statistics are of before'))
  const net = heard?.statistics
  if (net && job.stats) {
    const { downtime } = net.counts
    const counts = { ...job.stats, ...(downtime && { downtime }) }
    job.stats = jobStats({ ...net, elapsed: BigInt(job.data.elapsedMs), counts })
  }
  if (isFollowed(job)) await clientsMoved(job)
  // before QEMU ends: with it a shim may, and would leave its client without an answer
  await tellLeft(domain.run?.departure?.witness)
  await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_MIGRATED)
  step('left')
  completeJob(domain, job)
}

/** Nothing of the guest is kept here (virDomainDeleteConfig): it is another host's. */
function forget(domain: QemuDomain): void {
  if (domain.isActive || !domain.isPersistent) return
  domain.autostart = false
  domain.autostartOnce = false
  domain.setPersistent(undefined)
  domain.removed = true
}
