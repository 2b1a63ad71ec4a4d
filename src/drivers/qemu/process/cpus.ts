// Starts and stops of the guest's CPUs, with the reasons. The state itself follows QEMU's STOP and RESUME events, as in
// libvirt.
import {
  virDomainEventResumedDetailType,
  virDomainEventSuspendedDetailType,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainShutoffReason,
  virDomainState
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { outlivesShutdown } from './backup-end.ts'
import { stopDomain } from './stop.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const PAUSED = virDomainPausedReason
const RUNNING = virDomainRunningReason
const SUSPENDED = virDomainEventSuspendedDetailType
const RESUMED = virDomainEventResumedDetailType

/** Lets the CPUs run; the guest is running, with this virDomainRunningReason, when it returns (qemuProcessStartCPUs). */
export async function startCpus(domain: QemuDomain, reason: number): Promise<void> {
  const { qmp, running } = domain
  running.runningReason = reason
  try {
    await qmp.execute('cont')
  } finally {
    running.runningReason = RUNNING.VIR_DOMAIN_RUNNING_UNKNOWN
  }
}

/** Stops the CPUs for this virDomainPausedReason (qemuProcessStopCPUs). */
export async function stopCpus(domain: QemuDomain, reason: number): Promise<void> {
  const { qmp, running } = domain
  running.pausedReason = reason
  try {
    await qmp.execute('stop')
  } finally {
    running.pausedReason = PAUSED.VIR_DOMAIN_PAUSED_UNKNOWN
  }
}

/** The guest is down or has crashed: ends it, or starts it again in the same QEMU (qemuProcessShutdownOrReboot). */
export async function shutdownOrReboot(domain: QemuDomain): Promise<void> {
  const { VIR_DOMAIN_SHUTOFF_SHUTDOWN, VIR_DOMAIN_SHUTOFF_FAILED } = virDomainShutoffReason
  const { run } = domain
  if (!run?.fakeReboot && domain.def.onPoweroff !== 'restart') {
    // a backup goes on with the disks as they are, and ends the guest when it is over
    if (outlivesShutdown(run?.backup)) return
    return stopDomain(domain, VIR_DOMAIN_SHUTOFF_SHUTDOWN)
  }
  try {
    await domain.jobs.run('modify', { api: 'reboot' }, () => rebootInPlace(domain))
  } catch (error) {
    if (!domain.isActive || domain.phase === 'stopping') return
    domain.log.error({ err: error }, 'guest cannot be rebooted, ending it')
    await stopDomain(domain, VIR_DOMAIN_SHUTOFF_FAILED)
  } finally {
    if (run) run.pausedShutdown = false
    domain.setFakeReboot(false)
  }
}

/** Resets the machine and lets it run again in the same process (qemuProcessFakeReboot). */
async function rebootInPlace(domain: QemuDomain): Promise<void> {
  if (!domain.isActive) throw fail('VIR_ERR_INTERNAL_ERROR', 'guest unexpectedly quit')
  await domain.qmp.execute('system_reset')
  const crashed = domain.state === virDomainState.VIR_DOMAIN_CRASHED
  await startCpus(domain, crashed ? RUNNING.VIR_DOMAIN_RUNNING_CRASHED : RUNNING.VIR_DOMAIN_RUNNING_BOOTED)
}

const SUSPENDED_DETAILS: Record<number, number> = {
  [PAUSED.VIR_DOMAIN_PAUSED_MIGRATION]: SUSPENDED.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED,
  [PAUSED.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT]: SUSPENDED.VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT,
  [PAUSED.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED]: SUSPENDED.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED,
  [PAUSED.VIR_DOMAIN_PAUSED_POSTCOPY]: SUSPENDED.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY,
  [PAUSED.VIR_DOMAIN_PAUSED_API_ERROR]: SUSPENDED.VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR
}

const RESUMED_DETAILS: Record<number, number> = {
  [RUNNING.VIR_DOMAIN_RUNNING_RESTORED]: RESUMED.VIR_DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT,
  [RUNNING.VIR_DOMAIN_RUNNING_FROM_SNAPSHOT]: RESUMED.VIR_DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT,
  [RUNNING.VIR_DOMAIN_RUNNING_MIGRATED]: RESUMED.VIR_DOMAIN_EVENT_RESUMED_MIGRATED,
  [RUNNING.VIR_DOMAIN_RUNNING_MIGRATION_CANCELED]: RESUMED.VIR_DOMAIN_EVENT_RESUMED_MIGRATED,
  [RUNNING.VIR_DOMAIN_RUNNING_POSTCOPY]: RESUMED.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY,
  [RUNNING.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED]: RESUMED.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED
}

/** The detail of the event for a virDomainPausedReason (qemuDomainPausedReasonToSuspendedEvent). */
export const suspendedDetail = (reason: number): number =>
  SUSPENDED_DETAILS[reason] ?? SUSPENDED.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED

/** The detail of the event for a virDomainRunningReason (qemuDomainRunningReasonToResumeEvent). */
export const resumedDetail = (reason: number): number =>
  RESUMED_DETAILS[reason] ?? RESUMED.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED
