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
import { startCpus } from '../process/cpus.ts'
import { stopDomain } from '../process/stop.ts'
import { dropTemporaryBitmaps } from './bitmaps.ts'
import { fetchRest } from './destination.ts'
import { resetSettings } from './params.ts'
import { letGoOn, type Phase } from './phases.ts'
import { cancelMigration, queryMigrate } from './progress.ts'
import { settleAlone } from './source.ts'
import { dropLeftCopies, stopDiskServer } from './storage.ts'
import { dropTls } from './tls.ts'
import { keepWitness, openWitness } from './witness.ts'

const { VIR_DOMAIN_PAUSED_MIGRATION, VIR_DOMAIN_PAUSED_POSTCOPY, VIR_DOMAIN_PAUSED_UNKNOWN } = virDomainPausedReason
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
  switch (job.phase as Phase | undefined) {
    case 'perform3':
      await cancelMigration(domain)
      await dropLeftCopies(domain)
      await dropTemporaryBitmaps(domain)
      // its destination has not been told to have it run
      if (domain.reason === VIR_DOMAIN_PAUSED_POSTCOPY) domain.setPaused(VIR_DOMAIN_PAUSED_MIGRATION)
      await runOn(domain)
      break
    case 'perform3_done':
      // it can be confirmed yet, or given up
      job.cancel = async () => job.end()
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
      await stopDomain(domain, VIR_DOMAIN_SHUTOFF_MIGRATED)
      break
  }
  await end(domain, job)
}

/** Answers on for a guest that has come by a migration lately. */
export async function recoverWitness(domain: QemuDomain): Promise<void> {
  const witness = domain.run?.arrival?.witness
  if (!witness || domain.jobs.async?.kind === 'migration-in') return
  await openWitness(domain, witness)
  keepWitness(domain)
}

/** It has come if it runs; else who sends it has it yet. */
async function recoverIncoming(domain: QemuDomain, job: AsyncJob): Promise<void> {
  const witness = domain.run?.arrival?.witness
  if (witness) await openWitness(domain, witness)
  const hasCome = job.phase === 'finish3' && domain.state === virDomainState.VIR_DOMAIN_RUNNING
  if (!hasCome) await stopDomain(domain, VIR_DOMAIN_SHUTOFF_FAILED)
  else await stopDiskServer(domain)
  const settled = async () => {
    await end(domain, job)
    if (hasCome) keepWitness(domain)
  }
  const { status = '' } = hasCome ? await queryMigrate(domain) : {}
  if (!status.startsWith('postcopy')) return settled()
  // its source is not to end before the rest has come
  job.tell('MIGRATION', { status })
  void fetchRest(domain, job)
    .catch(error => domain.log.error({ err: error }, 'the migration failed in its post-copy phase'))
    .then(settled)
}

async function end(domain: QemuDomain, job: AsyncJob): Promise<void> {
  const { run } = domain
  if (run && domain.isActive) {
    if (run.migrationParameters) await resetSettings(domain, run.migrationParameters)
    await dropTls(domain)
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
