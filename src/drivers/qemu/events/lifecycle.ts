// Events about whether the guest runs: shut down, reset, stopped, asleep.
import {
  virDomainEventPMSuspendedDetailType,
  virDomainEventShutdownDetailType,
  virDomainEventStartedDetailType,
  virDomainEventType,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainState
} from '../../../conf/enums.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { resumedDetail, shutdownOrReboot, suspendedDetail } from '../process/cpus.ts'
import { refreshTrays } from '../process/trays.ts'
import type { Handlers } from './handler.ts'

const { VIR_DOMAIN_PAUSED_STARTING_UP, VIR_DOMAIN_PAUSED_UNKNOWN } = virDomainPausedReason
const { VIR_DOMAIN_RUNNING_UNKNOWN, VIR_DOMAIN_RUNNING_UNPAUSED, VIR_DOMAIN_RUNNING_WAKEUP } = virDomainRunningReason
const { VIR_DOMAIN_PAUSED, VIR_DOMAIN_PMSUSPENDED, VIR_DOMAIN_SHUTDOWN } = virDomainState
const SHUTDOWN = virDomainEventShutdownDetailType

/** The guest has gone to sleep of its own accord. */
function asleep(domain: QemuDomain, detail: number, timestampUs: number): void {
  if (!domain.isRunning) return
  domain.setState(VIR_DOMAIN_PMSUSPENDED, 0)
  domain.agent?.acted('SUSPEND')
  domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_PMSUSPENDED, detail, timestampUs)
}

export const lifecycleEvents: Handlers = {
  /** The guest's shutdown stops there: QEMU waits for what we do. A reboot by shutdown is no shutdown to anyone else. */
  async SHUTDOWN(domain, { guest, reason }, timestampUs) {
    const { run } = domain
    domain.agent?.acted('SHUTDOWN')
    // `quit` in the monitor ends QEMU under the guest: nobody has shut it down
    if (reason === 'host-qmp-quit') return
    if (run?.phase === undefined || run.phase === 'starting' || domain.state === VIR_DOMAIN_SHUTDOWN) return
    if (run.fakeReboot || domain.def.onPoweroff === 'restart') run.pausedShutdown = true
    else {
      const { VIR_DOMAIN_EVENT_SHUTDOWN_GUEST, VIR_DOMAIN_EVENT_SHUTDOWN_HOST } = SHUTDOWN
      const by = guest === true ? VIR_DOMAIN_EVENT_SHUTDOWN_GUEST : VIR_DOMAIN_EVENT_SHUTDOWN_HOST
      const detail = typeof guest === 'boolean' ? by : SHUTDOWN.VIR_DOMAIN_EVENT_SHUTDOWN_FINISHED
      domain.setState(VIR_DOMAIN_SHUTDOWN, 0)
      domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_SHUTDOWN, detail, timestampUs)
    }
    if (run.phase === 'running') await shutdownOrReboot(domain)
  },

  async RESET(domain, _data, timestampUs) {
    domain.agent?.acted('RESET')
    const isStartingUp = domain.state === VIR_DOMAIN_PAUSED && domain.reason === VIR_DOMAIN_PAUSED_STARTING_UP
    if (domain.run?.phase === 'starting' || isStartingUp) return
    domain.setFakeReboot(false)
    domain.events.emit('VIR_DOMAIN_EVENT_ID_REBOOT', {}, timestampUs)
    domain.changed()
    await refreshTrays(domain)
  },

  STOP(domain, _data, timestampUs) {
    const { run } = domain
    if (!run) return
    const reason = run.pausedReason
    run.pausedReason = VIR_DOMAIN_PAUSED_UNKNOWN
    if (!domain.isRunning || run.pausedShutdown) return
    if (domain.jobs.async) domain.jobs.async.stoppedMs = Date.now()
    domain.setPaused(reason)
    domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_SUSPENDED, suspendedDetail(reason), timestampUs)
  },

  RESUME(domain, _data, timestampUs) {
    const { run } = domain
    if (!run) return
    const caused = run.runningReason
    const reason = caused === VIR_DOMAIN_RUNNING_UNKNOWN ? VIR_DOMAIN_RUNNING_UNPAUSED : caused
    run.runningReason = VIR_DOMAIN_RUNNING_UNKNOWN
    if (domain.isRunning) return
    domain.setRunning(reason)
    domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_RESUMED, resumedDetail(reason), timestampUs)
  },

  SUSPEND(domain, _data, timestampUs) {
    domain.events.emit('VIR_DOMAIN_EVENT_ID_PMSUSPEND', { reason: 0 }, timestampUs)
    asleep(domain, virDomainEventPMSuspendedDetailType.VIR_DOMAIN_EVENT_PMSUSPENDED_MEMORY, timestampUs)
  },

  SUSPEND_DISK(domain, _data, timestampUs) {
    domain.events.emit('VIR_DOMAIN_EVENT_ID_PMSUSPEND_DISK', { reason: 0 }, timestampUs)
    asleep(domain, virDomainEventPMSuspendedDetailType.VIR_DOMAIN_EVENT_PMSUSPENDED_DISK, timestampUs)
  },

  WAKEUP(domain, _data, timestampUs) {
    domain.events.emit('VIR_DOMAIN_EVENT_ID_PMWAKEUP', { reason: 0 }, timestampUs)
    if (domain.state !== VIR_DOMAIN_PMSUSPENDED) return
    domain.setRunning(VIR_DOMAIN_RUNNING_WAKEUP)
    const detail = virDomainEventStartedDetailType.VIR_DOMAIN_EVENT_STARTED_WAKEUP
    domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_STARTED, detail, timestampUs)
  }
}
