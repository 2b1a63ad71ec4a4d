// Events about a guest in trouble: panic, watchdog, failing disks and memory, with what the definition wants done.
import {
  virDomainCrashedReason,
  virDomainEventCrashedDetailType,
  virDomainEventIOErrorAction,
  virDomainEventSuspendedDetailType,
  virDomainEventType,
  virDomainEventWatchdogAction,
  virDomainMemoryFailureActionType,
  virDomainMemoryFailureFlags,
  virDomainMemoryFailureRecipientType,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainShutoffReason,
  virDomainState
} from '../../../conf/enums.ts'
import { storagePath } from '../../../conf/storage/source.ts'
import { appendLog, timeNow } from '../../../host/log-file.ts'
import { diskOfDevice, imageOfNode } from '../device/disk/lookup.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { shutdownOrReboot, startCpus } from '../process/cpus.ts'

import { stopDomain } from '../process/stop.ts'
import type { dumpMemory } from '../save/crash-dump.ts'
import { type EventData, type Handlers, oneOf } from './handler.ts'

const CRASHED = virDomainEventCrashedDetailType
const WATCHDOG = virDomainEventWatchdogAction
const IO_ERROR = virDomainEventIOErrorAction
const RECIPIENT = virDomainMemoryFailureRecipientType
const FAILURE = virDomainMemoryFailureActionType

const WATCHDOG_ACTIONS: Record<string, number> = {
  none: WATCHDOG.VIR_DOMAIN_EVENT_WATCHDOG_NONE,
  pause: WATCHDOG.VIR_DOMAIN_EVENT_WATCHDOG_PAUSE,
  reset: WATCHDOG.VIR_DOMAIN_EVENT_WATCHDOG_RESET,
  poweroff: WATCHDOG.VIR_DOMAIN_EVENT_WATCHDOG_POWEROFF,
  shutdown: WATCHDOG.VIR_DOMAIN_EVENT_WATCHDOG_SHUTDOWN,
  debug: WATCHDOG.VIR_DOMAIN_EVENT_WATCHDOG_DEBUG,
  'inject-nmi': WATCHDOG.VIR_DOMAIN_EVENT_WATCHDOG_INJECTNMI
}
const IO_ERROR_ACTIONS: Record<string, number> = {
  ignore: IO_ERROR.VIR_DOMAIN_EVENT_IO_ERROR_NONE,
  stop: IO_ERROR.VIR_DOMAIN_EVENT_IO_ERROR_PAUSE,
  report: IO_ERROR.VIR_DOMAIN_EVENT_IO_ERROR_REPORT
}
const RECIPIENTS: Record<string, number> = {
  hypervisor: RECIPIENT.VIR_DOMAIN_EVENT_MEMORY_FAILURE_RECIPIENT_HYPERVISOR,
  guest: RECIPIENT.VIR_DOMAIN_EVENT_MEMORY_FAILURE_RECIPIENT_GUEST
}
const FAILURE_ACTIONS: Record<string, number> = {
  ignore: FAILURE.VIR_DOMAIN_EVENT_MEMORY_FAILURE_ACTION_IGNORE,
  inject: FAILURE.VIR_DOMAIN_EVENT_MEMORY_FAILURE_ACTION_INJECT,
  fatal: FAILURE.VIR_DOMAIN_EVENT_MEMORY_FAILURE_ACTION_FATAL,
  reset: FAILURE.VIR_DOMAIN_EVENT_MEMORY_FAILURE_ACTION_RESET
}

/** Time QEMU may take to stop a guest that panicked. */
const STOP_LIMIT_MS = 1000

/** QEMU has stopped the guest; its STOP event, which comes next, has nothing to add. */
function pausedByQemu(domain: QemuDomain, reason: number, detail: number, timestampUs: number): void {
  if (!domain.isRunning) return
  domain.setPaused(reason)
  domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_SUSPENDED, detail, timestampUs)
}

/** QEMU tells of a panic before it stops the guest; the other way round it makes more sense, and so libvirt has it. */
async function untilStopped(domain: QemuDomain): Promise<void> {
  while (domain.isRunning && (await domain.waitForChange(domain.generation, STOP_LIMIT_MS))) {}
}

/** The guest's words when it panicked, for the log (qemuMonitorGuestPanicEventInfoFormatMsg). */
function panicMessage(info: EventData): string | undefined {
  const hex = (name: string, digits = 0) =>
    `${name}='0x${BigInt(info[name] as bigint)
      .toString(16)
      .padStart(digits, '0')}'`
  if (info.type === 'hyper-v')
    return `hyper-v: ${['arg1', 'arg2', 'arg3', 'arg4', 'arg5'].map(name => hex(name)).join(', ')}`
  if (info.type !== 's390') return undefined
  return `s390: core='${info.core}' ${hex('psw-mask', 16)} ${hex('psw-addr', 16)} reason='${info.reason}'`
}

/** dumpMemory, loaded on use: most guests never crash. */
const dump: typeof dumpMemory = async (...args) => (await import('../save/crash-dump.ts')).dumpMemory(...args)

/** Dumps, ends or starts a crashed guest again as `<on_crash>` says (processGuestPanicEvent). */
async function onCrash(domain: QemuDomain): Promise<void> {
  const { onCrash: action } = domain.def
  if (action.startsWith('coredump-')) await dump(domain)
  if (!domain.isActive) return
  if (action.endsWith('destroy')) await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_CRASHED)
  else if (action.endsWith('restart')) {
    domain.setFakeReboot(true)
    await shutdownOrReboot(domain)
  }
}

/** The watchdog stopped the guest for a dump; then it goes on (processWatchdogEvent). */
async function dumpAndGoOn(domain: QemuDomain): Promise<void> {
  await dump(domain, () => startCpus(domain, virDomainRunningReason.VIR_DOMAIN_RUNNING_UNPAUSED))
}

export const failureEvents: Handlers = {
  async GUEST_PANICKED(domain, { info, action }, timestampUs) {
    if (action === 'pause') await untilStopped(domain)
    if (!domain.isActive) return
    const said = info ? panicMessage(info as EventData) : undefined
    if (said !== undefined) appendLog(domain.root.log, `panic ${said}`)
    domain.setState(virDomainState.VIR_DOMAIN_CRASHED, virDomainCrashedReason.VIR_DOMAIN_CRASHED_PANICKED)
    const detail = CRASHED.VIR_DOMAIN_EVENT_CRASHED_PANICKED
    domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_CRASHED, detail, timestampUs)
    await onCrash(domain)
  },

  /** The guest's kernel crashed and boots another one that will make a dump. */
  GUEST_CRASHLOADED(domain, _data, timestampUs) {
    const detail = CRASHED.VIR_DOMAIN_EVENT_CRASHED_CRASHLOADED
    domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_CRASHED, detail, timestampUs)
  },

  async WATCHDOG(domain, data, timestampUs) {
    const action = WATCHDOG_ACTIONS[String(data.action)] ?? WATCHDOG.VIR_DOMAIN_EVENT_WATCHDOG_NONE
    domain.events.emit('VIR_DOMAIN_EVENT_ID_WATCHDOG', { action }, timestampUs)
    if (action === WATCHDOG.VIR_DOMAIN_EVENT_WATCHDOG_PAUSE) {
      const { VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG } = virDomainEventSuspendedDetailType
      const { VIR_DOMAIN_PAUSED_WATCHDOG } = virDomainPausedReason
      pausedByQemu(domain, VIR_DOMAIN_PAUSED_WATCHDOG, VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG, timestampUs)
    }
    if (domain.def.devices.watchdogs[0]?.action === 'dump') await dumpAndGoOn(domain)
  },

  BLOCK_IO_ERROR(domain, data, timestampUs) {
    const { device, 'qom-path': qomPath, 'node-name': node, reason: message } = data as Record<string, string>
    const byNode = node === undefined ? undefined : imageOfNode(domain.def, node)
    const disk = byNode?.disk ?? diskOfDevice(domain.def, device || qomPath || '')
    const source = byNode?.source ?? disk?.source
    const action = IO_ERROR_ACTIONS[String(data.action)] ?? IO_ERROR.VIR_DOMAIN_EVENT_IO_ERROR_NONE
    const fields = { srcPath: (source && storagePath(source)) ?? '', devAlias: disk?.alias ?? '', action }
    const reason = data.nospace === true ? 'enospc' : message === undefined ? '' : 'message'
    const time = timeNow()
    const names = `device='${fields.devAlias}' node-name='${node ?? '<null>'}' reason='${message ?? '<null>'}'`
    appendLog(domain.root.log, `IO error ${names}`, time)
    if (source && message !== undefined) domain.run?.ioErrors.set(source, { time, message })
    domain.events.emit('VIR_DOMAIN_EVENT_ID_IO_ERROR', fields, timestampUs)
    domain.events.emit('VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON', { ...fields, reason }, timestampUs)
    if (action !== IO_ERROR.VIR_DOMAIN_EVENT_IO_ERROR_PAUSE) return
    const { VIR_DOMAIN_EVENT_SUSPENDED_IOERROR } = virDomainEventSuspendedDetailType
    const { VIR_DOMAIN_PAUSED_IOERROR } = virDomainPausedReason
    pausedByQemu(domain, VIR_DOMAIN_PAUSED_IOERROR, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR, timestampUs)
  },

  MEMORY_FAILURE(domain, data, timestampUs) {
    const told = (data.flags ?? {}) as EventData
    const { VIR_DOMAIN_MEMORY_FAILURE_ACTION_REQUIRED, VIR_DOMAIN_MEMORY_FAILURE_RECURSIVE } =
      virDomainMemoryFailureFlags
    const flags =
      (told['action-required'] === true ? VIR_DOMAIN_MEMORY_FAILURE_ACTION_REQUIRED : 0) |
      (told.recursive === true ? VIR_DOMAIN_MEMORY_FAILURE_RECURSIVE : 0)
    const recipient = oneOf(RECIPIENTS, data, 'recipient')
    const action = oneOf(FAILURE_ACTIONS, data, 'action')
    domain.events.emit('VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE', { recipient, action, flags }, timestampUs)
  }
}
