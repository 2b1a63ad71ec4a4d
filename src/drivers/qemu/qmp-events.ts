// What QEMU tells unasked: one handler per QMP event (qemu-qmp-ref "Events"), as in libvirt's qemu_process.c.
import {
  virDomainEventIOErrorAction,
  virDomainEventPMSuspendedDetailType,
  virDomainEventResumedDetailType,
  virDomainEventShutdownDetailType,
  virDomainEventStartedDetailType,
  virDomainEventSuspendedDetailType,
  virDomainEventType,
  virDomainEventWatchdogAction,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainShutoffReason,
  virDomainState
} from '../../conf/enums.ts'
import { diskSourcePath } from './block.ts'
import { agentChannel } from './channels.ts'
import type { QemuDomain } from './domain.ts'
import type { QmpEvent } from './qmp.ts'
import { stopDomain } from './stop.ts'

type Handler = (domain: QemuDomain, data: Record<string, unknown>, timestampUs: number) => void | Promise<void>

const { VIR_DOMAIN_PAUSED_WATCHDOG, VIR_DOMAIN_PAUSED_IOERROR, VIR_DOMAIN_PAUSED_UNKNOWN } = virDomainPausedReason
const WATCHDOG_ACTIONS: Record<string, number> = {
  none: virDomainEventWatchdogAction.VIR_DOMAIN_EVENT_WATCHDOG_NONE,
  pause: virDomainEventWatchdogAction.VIR_DOMAIN_EVENT_WATCHDOG_PAUSE,
  reset: virDomainEventWatchdogAction.VIR_DOMAIN_EVENT_WATCHDOG_RESET,
  poweroff: virDomainEventWatchdogAction.VIR_DOMAIN_EVENT_WATCHDOG_POWEROFF,
  shutdown: virDomainEventWatchdogAction.VIR_DOMAIN_EVENT_WATCHDOG_SHUTDOWN,
  debug: virDomainEventWatchdogAction.VIR_DOMAIN_EVENT_WATCHDOG_DEBUG,
  'inject-nmi': virDomainEventWatchdogAction.VIR_DOMAIN_EVENT_WATCHDOG_INJECTNMI
}
const IO_ERROR_ACTIONS: Record<string, number> = {
  ignore: virDomainEventIOErrorAction.VIR_DOMAIN_EVENT_IO_ERROR_NONE,
  stop: virDomainEventIOErrorAction.VIR_DOMAIN_EVENT_IO_ERROR_PAUSE,
  report: virDomainEventIOErrorAction.VIR_DOMAIN_EVENT_IO_ERROR_REPORT
}

const HANDLERS: Record<string, Handler> = {
  SHUTDOWN: handleShutdown,

  RESET(domain, _data, timestampUs) {
    domain.events.emit('VIR_DOMAIN_EVENT_ID_REBOOT', {}, timestampUs)
    domain.changed()
  },

  STOP(domain, _data, timestampUs) {
    if (!domain.isRunning) return
    const reason = domain.pausedReason
    domain.pausedReason = VIR_DOMAIN_PAUSED_UNKNOWN
    domain.setPaused(reason)
    domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_SUSPENDED, suspendedDetail(reason), timestampUs)
  },

  RESUME(domain, _data, timestampUs) {
    if (domain.state !== virDomainState.VIR_DOMAIN_PAUSED) return
    domain.setRunning(virDomainRunningReason.VIR_DOMAIN_RUNNING_UNPAUSED)
    const detail = virDomainEventResumedDetailType.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED
    domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_RESUMED, detail, timestampUs)
  },

  async GUEST_PANICKED(domain, _data, timestampUs) {
    domain.setState(virDomainState.VIR_DOMAIN_CRASHED, 1)
    domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_CRASHED, 0, timestampUs)
    const { onCrash } = domain.def
    if (onCrash === 'preserve') return
    if (onCrash === 'restart' || onCrash === 'rename-restart') await rebootInPlace(domain)
    else await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_CRASHED)
  },

  WATCHDOG(domain, data, timestampUs) {
    const action = String(data.action)
    domain.events.emit('VIR_DOMAIN_EVENT_ID_WATCHDOG', { action: WATCHDOG_ACTIONS[action] ?? 0 }, timestampUs)
    if (action === 'pause' && domain.isRunning) pausedByQemu(domain, VIR_DOMAIN_PAUSED_WATCHDOG, timestampUs)
  },

  BLOCK_IO_ERROR(domain, data, timestampUs) {
    const alias = String(data.device || data['qom-path'] || '')
      .replace(/^\/machine\/peripheral\//, '')
      .split('/')[0]!
    const disk = domain.def.devices.disks.find(
      ({ alias: known }) => known && (alias === known || alias === `drive-${known}`)
    )
    const fields = {
      srcPath: (disk && diskSourcePath(disk)) ?? '',
      devAlias: disk?.alias ?? alias,
      action: IO_ERROR_ACTIONS[String(data.action)] ?? 0
    }
    const reason = data.nospace === true ? 'enospc' : String(data.reason ?? '')
    domain.events.emit('VIR_DOMAIN_EVENT_ID_IO_ERROR', fields, timestampUs)
    domain.events.emit('VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON', { ...fields, reason }, timestampUs)
    if (data.action === 'stop' && domain.isRunning) pausedByQemu(domain, VIR_DOMAIN_PAUSED_IOERROR, timestampUs)
  },

  /** The guest set its clock. QEMU counts from the start's base, libvirt's event from UTC. */
  RTC_CHANGE(domain, data, timestampUs) {
    const { clock } = domain.def
    let utcoffset = BigInt(Number(data.offset))
    if (clock.offset === 'variable') {
      utcoffset += clock.adjustment0 ?? 0n
      clock.adjustment = utcoffset
      domain.changed()
    }
    domain.events.emit('VIR_DOMAIN_EVENT_ID_RTC_CHANGE', { utcoffset }, timestampUs)
  },

  BALLOON_CHANGE(domain, data, timestampUs) {
    const actual = Math.floor(Number(data.actual) / 1024)
    domain.def.currentMemoryKiB = actual
    domain.events.emit('VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE', { actual }, timestampUs)
    domain.changed()
  },

  SUSPEND(domain, _data, timestampUs) {
    domain.setState(virDomainState.VIR_DOMAIN_PMSUSPENDED, 0)
    domain.events.emit('VIR_DOMAIN_EVENT_ID_PMSUSPEND', { reason: 0 }, timestampUs)
    const detail = virDomainEventPMSuspendedDetailType.VIR_DOMAIN_EVENT_PMSUSPENDED_MEMORY
    domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_PMSUSPENDED, detail, timestampUs)
  },

  WAKEUP(domain, _data, timestampUs) {
    domain.setRunning(virDomainRunningReason.VIR_DOMAIN_RUNNING_WAKEUP)
    domain.events.emit('VIR_DOMAIN_EVENT_ID_PMWAKEUP', { reason: 0 }, timestampUs)
    const detail = virDomainEventStartedDetailType.VIR_DOMAIN_EVENT_STARTED_WAKEUP
    domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_STARTED, detail, timestampUs)
  },

  VSERPORT_CHANGE(domain, data, timestampUs) {
    const changed = domain.def.devices.channels.find(({ alias }) => alias === data.id)
    if (changed?.target.type === 'virtio') {
      changed.target.state = data.open === true ? 'connected' : 'disconnected'
      domain.save()
    }
    const channel = agentChannel(domain)
    if (!domain.agent || channel?.alias !== data.id) return
    domain.agent.connected = data.open === true
    if (data.open !== true) domain.agent.close()
    domain.events.emit(
      'VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE',
      { state: data.open === true ? 1 : 2, reason: 2 },
      timestampUs
    )
  }
}

/** Acts on one QMP event. A handler that fails is logged; the next event is handled all the same. */
export function handleQmpEvent(domain: QemuDomain, { event, data, timestampUs }: QmpEvent): void {
  domain.log.debug({ event, data }, 'QMP event')
  const failed = (error: unknown) => domain.log.error({ event, err: error }, 'QMP event handler failed')
  try {
    const done = HANDLERS[event]?.(domain, data, timestampUs)
    if (done) done.catch(failed)
  } catch (error) {
    failed(error)
  }
}

async function handleShutdown(domain: QemuDomain, data: Record<string, unknown>, timestampUs: number): Promise<void> {
  if (domain.phase !== 'running' || domain.state === virDomainState.VIR_DOMAIN_SHUTDOWN) return
  const { VIR_DOMAIN_EVENT_SHUTDOWN_GUEST, VIR_DOMAIN_EVENT_SHUTDOWN_HOST } = virDomainEventShutdownDetailType
  const detail = data.guest === true ? VIR_DOMAIN_EVENT_SHUTDOWN_GUEST : VIR_DOMAIN_EVENT_SHUTDOWN_HOST
  domain.setState(virDomainState.VIR_DOMAIN_SHUTDOWN, 0)
  domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_SHUTDOWN, detail, timestampUs)
  const restart = domain.def.onPoweroff === 'restart' && data.guest === true && data.reason !== 'guest-reset'
  if (domain.fakeReboot || restart) await rebootInPlace(domain)
  else await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_SHUTDOWN)
}

/** Resets the machine and lets it run again in the same process; libvirt: qemuProcessFakeReboot. */
export async function rebootInPlace(domain: QemuDomain): Promise<void> {
  domain.fakeReboot = false
  await domain.qmp.execute('system_reset')
  await domain.qmp.execute('cont')
  domain.setRunning(virDomainRunningReason.VIR_DOMAIN_RUNNING_BOOTED)
}

function pausedByQemu(domain: QemuDomain, reason: number, timestampUs: number): void {
  domain.setPaused(reason)
  domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_SUSPENDED, suspendedDetail(reason), timestampUs)
}

function suspendedDetail(reason: number): number {
  const { VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED } =
    virDomainEventSuspendedDetailType
  if (reason === VIR_DOMAIN_PAUSED_WATCHDOG) return VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG
  return reason === VIR_DOMAIN_PAUSED_IOERROR ? VIR_DOMAIN_EVENT_SUSPENDED_IOERROR : VIR_DOMAIN_EVENT_SUSPENDED_PAUSED
}
