// Ending a guest: its process first, then everything it had of the host.
import { setTimeout as sleep } from 'node:timers/promises'
import {
  virDomainEventStoppedDetailType,
  virDomainEventType,
  virDomainShutoffReason,
  virDomainState
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { isAlive, type ProcessIdentity, processIdentity, removeStatus } from '../../../state/status.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Ended, Run } from '../domain/run.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import { closeAgent } from './agent-port.ts'
import { releaseSteps } from './needs/index.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** SIGTERM's time before SIGKILL, as in libvirt's qemuProcessKill. */
const TERM_TIMEOUT_MS = 10_000
const KILL_TIMEOUT_MS = 20_000
/** How long the monitor of a QEMU that is gone may take to say so. */
const LAST_EVENTS_MS = 500

/** Kills QEMU and cleans up after it; libvirt: qemuProcessStop. */
export async function stopDomain(domain: QemuDomain, reason: number, graceful = false): Promise<void> {
  const { VIR_DOMAIN_SHUTOFF_CRASHED, VIR_DOMAIN_SHUTOFF_SHUTDOWN } = virDomainShutoffReason
  const { running } = domain
  running.phase = 'stopping'
  domain.save()
  // libvirt has stopped listening by now
  if (reason === VIR_DOMAIN_SHUTOFF_CRASHED) domain.monitor?.close()
  const gone = await endProcess(domain, graceful)
  if (!gone) {
    running.phase = 'running'
    domain.save()
    throw fail('VIR_ERR_OPERATION_FAILED', `QEMU process ${domain.process?.pid} did not end in time`)
  }
  await cleanUp(domain, {
    reason,
    failed: reason === VIR_DOMAIN_SHUTOFF_CRASHED,
    byItself: reason === VIR_DOMAIN_SHUTOFF_SHUTDOWN
  })
}

/** Ends the process, gently first. Gives false if it is still there (graceful only). */
export async function endProcess(domain: QemuDomain, graceful = false): Promise<boolean> {
  const { process: identity, exited } = domain.run ?? {}
  if (!identity) return true
  if (await signalAndWait(identity, 'SIGTERM', TERM_TIMEOUT_MS, exited)) return true
  return !graceful && (await signalAndWait(identity, 'SIGKILL', KILL_TIMEOUT_MS, exited))
}

async function signalAndWait(
  identity: ProcessIdentity,
  signal: NodeJS.Signals,
  limitMs: number,
  exited?: Promise<string>
): Promise<boolean> {
  if (!isAlive(identity)) return true
  try {
    process.kill(identity.pid, signal)
  } catch {
    return true
  }
  const deadline = Date.now() + limitMs
  while (Date.now() < deadline) {
    await (exited ? Promise.race([exited, sleep(50)]) : sleep(3))
    if (processIdentity(identity.pid)?.startTime !== identity.startTime) return true
  }
  return false
}

/** What QEMU said before it ended is still on its way. */
async function lastEvents(monitor: QmpMonitor): Promise<void> {
  if (monitor.closed) return
  const limit = new AbortController()
  const closed = new Promise(resolve => monitor.once('close', resolve))
  await Promise.race([closed, sleep(LAST_EVENTS_MS, undefined, { signal: limit.signal }).catch(() => undefined)])
  limit.abort()
}

const STOPPED_DETAIL: Record<number, number> = {
  [virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_SHUTDOWN]:
    virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN,
  [virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_DESTROYED]:
    virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_DESTROYED,
  [virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_CRASHED]: virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_CRASHED
}

/** Who hears that a run is over: whoever asks for the state, listeners to events too, or nobody. */
type Audience = 'all' | 'state' | 'nobody'

/** Removes every trace of a run, once, whoever finds out first that it is over. */
export function cleanUp(domain: QemuDomain, ended: Ended, audience: Audience = 'all'): Promise<void> {
  const { run } = domain
  if (!run) return Promise.resolve()
  run.cleanUp ??= removeTraces(domain, run, ended, audience)
  return run.cleanUp
}

/** status.json goes last: a crash on the way is resumed from it. */
async function removeTraces(domain: QemuDomain, run: Run, ended: Ended, audience: Audience): Promise<void> {
  const { root, id } = domain
  const { monitor } = run
  if (monitor) await lastEvents(monitor)
  run.monitor = undefined
  monitor?.close()
  closeAgent(domain)
  await releaseSteps(domain)
  removeStatus(root.status)
  domain.id = -1
  domain.run = undefined
  domain.definitions.join()
  run.close()
  if (audience === 'nobody') return
  domain.lastEnd = ended
  domain.setState(virDomainState.VIR_DOMAIN_SHUTOFF, ended.reason)
  const { VIR_DOMAIN_EVENT_STOPPED_FAILED } = virDomainEventStoppedDetailType
  const known = STOPPED_DETAIL[ended.reason] ?? VIR_DOMAIN_EVENT_STOPPED_FAILED
  const detail = ended.byItself && ended.failed ? VIR_DOMAIN_EVENT_STOPPED_FAILED : known
  const of = ended.byItself ? { name: domain.name, uuid: domain.uuid, id } : undefined
  if (audience === 'all') domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_STOPPED, detail, undefined, of)
  run.tellEnded(ended)
}
