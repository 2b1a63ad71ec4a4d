// A migration that a former shim was busy with (qemuProcessRecoverMigration).
import {
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainShutoffReason,
  virDomainState
} from '../../../conf/enums.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import { step } from '../../../state/step.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { isInPostcopy } from '../job/postcopy.ts'
import { startCpus } from '../process/cpus.ts'
import { stopDomain } from '../process/stop.ts'
import { tellLeft } from './ask-witness.ts'
import { dropTemporaryBitmaps } from './bitmaps.ts'
import { giveUp, settleAlone } from './confirm.ts'
import { keepHalf } from './destination.ts'
import { resetSettings } from './params.ts'
import { enterPhase, letGoOn, type Phase } from './phases.ts'
import { completeUnattended, failPostcopy, pausePostcopy } from './postcopy.ts'
import { cancelMigration, followMigration, isOver, queryMigrate, STATUSES } from './progress.ts'
import { dropLeftCopies, stopDiskServer } from './storage.ts'
import { dropTls } from './tls.ts'
import { keepWitness, openWitness } from './witness.ts'
import { unlockMemory } from './zero-copy.ts'

const { VIR_DOMAIN_PAUSED_MIGRATION, VIR_DOMAIN_PAUSED_UNKNOWN } = virDomainPausedReason
const { VIR_DOMAIN_SHUTOFF_FAILED, VIR_DOMAIN_SHUTOFF_MIGRATED } = virDomainShutoffReason

/**
 * Takes a migration back, or to its end, by how far it had come. One whose guest may run elsewhere stays as it is until
 * its client says so: the guest stands still.
 */
export async function recoverMigration(domain: QemuDomain): Promise<void> {
  const { async: job } = domain.jobs
  if (!job || !domain.isActive) return
  domain.log.warn({ kind: job.kind, phase: job.phase }, 'the migration was cut short')
  step('recover')
  if (job.kind === 'migration-in') return recoverIncoming(domain, job)
  if (isInPostcopy(domain) && job.phase !== 'perform3') return recoverPostcopy(domain, job)
  switch (job.phase as Phase | undefined) {
    case 'perform3':
      if (!(await isTakenBack(domain))) return recoverPostcopy(domain, job)
      await dropLeftCopies(domain)
      await dropTemporaryBitmaps(domain)
      // its destination has not been told to run it
      if (isInPostcopy(domain)) {
        job.isStalled = false
        domain.setPaused(VIR_DOMAIN_PAUSED_MIGRATION)
      }
      await runOn(domain)
      break
    case 'perform3_done':
      // it can be confirmed yet, or given up
      job.cancel = () => giveUp(domain, job)
      letGoOn(domain, job)
      if (domain.run?.departure?.witness) {
        void settleAlone(domain, job).catch(error =>
          domain.log.error({ err: error }, 'the migration could not be settled')
        )
      }
      return
    case 'confirm3_cancelled':
      await runOn(domain)
      break
    case 'confirm3':
      await tellLeft(domain.run?.departure?.witness)
      await stopDomain(domain, VIR_DOMAIN_SHUTOFF_MIGRATED)
      break
  }
  await end(domain, job)
}

/** Gives up what QEMU sends. @returns false where it does not come back from post-copy: it has lost its other part */
async function isTakenBack(domain: QemuDomain): Promise<boolean> {
  if ((await queryMigrate(domain)).status === 'postcopy-paused') return false
  await cancelMigration(domain)
  return !isInPostcopy(domain) || isOver((await queryMigrate(domain)).status)
}

/** Answers on for a guest that has come by a migration lately. */
export async function recoverWitness(domain: QemuDomain): Promise<void> {
  const witness = domain.run?.arrival?.witness
  if (!witness || domain.jobs.async?.kind === 'migration-in') return
  await openWitness(domain, witness)
  keepWitness(domain)
}

/**
 * One in post-copy goes on by itself, or stands still until it is brought on; nobody is to end either part of the guest.
 */
async function recoverPostcopy(domain: QemuDomain, job: AsyncJob): Promise<void> {
  enterPhase(job, 'postcopy_failed')
  if (job.kind === 'migration-out') {
    followMigration(domain, job)
    pausePostcopy(domain, job)
  }
  letGoOn(domain, job)
  const { status } = await queryMigrate(domain)
  if (status === 'completed') return completeUnattended(domain, job)
  if (status === 'postcopy-active') job.isStalled = false
  else {
    failPostcopy(domain, job)
    job.isStalled = true
  }
  job.status = STATUSES[String(status)] ?? 'postcopy-paused'
}

/** It has come if it runs; else who sends it has it yet. */
async function recoverIncoming(domain: QemuDomain, job: AsyncJob): Promise<void> {
  const witness = domain.run?.arrival?.witness
  if (witness) await openWitness(domain, witness)
  if (job.phase !== 'prepare' && (await isHalf(domain))) {
    keepHalf(domain)
    return recoverPostcopy(domain, job)
  }
  const hasCome = job.phase === 'finish3' && domain.state === virDomainState.VIR_DOMAIN_RUNNING
  if (!hasCome) await stopDomain(domain, VIR_DOMAIN_SHUTOFF_FAILED)
  else await stopDiskServer(domain)
  await end(domain, job)
  if (hasCome) keepWitness(domain)
}

/**
 * True for a guest in post-copy. Differs from libvirt, which ends one that was about to run: its source has given it away
 * already.
 */
async function isHalf(domain: QemuDomain): Promise<boolean> {
  if (isInPostcopy(domain)) return true
  const { status = '' } = await queryMigrate(domain)
  if (!status.startsWith('postcopy')) return false
  await startCpus(domain, virDomainRunningReason.VIR_DOMAIN_RUNNING_POSTCOPY)
  return true
}

async function end(domain: QemuDomain, job: AsyncJob): Promise<void> {
  const { run } = domain
  if (run && domain.isActive) {
    if (run.migrationParameters) await resetSettings(domain, run.migrationParameters)
    await dropTls(domain)
    await unlockMemory(domain)
    run.migrationParameters = undefined
    run.departure = undefined
    if (run.arrival) run.arrival.port = undefined
    run.autoDestroy = false
  }
  job.end()
  domain.settled()
}

/** Lets the guest run that stands still for its migration alone. */
async function runOn(domain: QemuDomain): Promise<void> {
  const isHeld = [VIR_DOMAIN_PAUSED_MIGRATION, VIR_DOMAIN_PAUSED_UNKNOWN].some(reason => reason === domain.reason)
  if (domain.state !== virDomainState.VIR_DOMAIN_PAUSED || !isHeld) return
  await startCpus(domain, virDomainRunningReason.VIR_DOMAIN_RUNNING_MIGRATION_CANCELED).catch(error =>
    domain.log.warn({ err: error }, 'the guest cannot be resumed after its migration was cut short')
  )
}
