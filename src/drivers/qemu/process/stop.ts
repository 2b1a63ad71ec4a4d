// End of a guest: of its process first, then of everything it had from the host.
import { existsSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  virDomainEventStoppedDetailType,
  virDomainEventType,
  virDomainShutoffReason,
  virDomainState
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { journalOf } from '../../../state/moments.ts'
import { isAlive, type ProcessIdentity, processIdentity, removeStatus } from '../../../state/status.ts'
import { followPivots } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Ended, Run } from '../domain/run.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import { closeAgent } from './agent-port.ts'
import { tellHook } from './hooks.ts'
import { releaseNeeds } from './needs/index.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** SIGTERM's time before SIGKILL, as in libvirt's qemuProcessKill. */
const TERM_TIMEOUT_MS = 10_000
const KILL_TIMEOUT_MS = 20_000
/** Time until the monitor of a QEMU that is gone must have closed. */
const LAST_EVENTS_MS = 500

/** Kills QEMU and cleans up after it (qemuProcessStop). @param reason virDomainShutoffReason */
export async function stopDomain(domain: QemuDomain, reason: number, graceful = false): Promise<void> {
  const { VIR_DOMAIN_SHUTOFF_CRASHED, VIR_DOMAIN_SHUTOFF_SHUTDOWN } = virDomainShutoffReason
  const { running } = domain
  running.phase = 'stopping'
  domain.save()
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

/** Waits for events that QEMU sent before it ended and that are still on their way. */
async function lastEvents(monitor: QmpMonitor): Promise<void> {
  if (monitor.closed) return
  const limit = new AbortController()
  const closed = new Promise(resolve => monitor.once('close', resolve))
  await Promise.race([closed, sleep(LAST_EVENTS_MS, undefined, { signal: limit.signal }).catch(() => undefined)])
  limit.abort()
}

/** What QEMU was doing to snapshots when it ended is settled before any image goes: the guest may stand on it. */
async function settleSnapshots(domain: QemuDomain, run: Run): Promise<void> {
  const { settleWithRun } = await import('./journal.ts')
  await settleWithRun(domain, run).catch(error =>
    domain.log.error({ err: error }, 'what was being done to snapshots cannot be settled')
  )
}

const STOPPED_DETAIL: Record<number, number> = {
  [virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_SHUTDOWN]:
    virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN,
  [virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_DESTROYED]:
    virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_DESTROYED,
  [virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_CRASHED]: virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_CRASHED,
  [virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_MIGRATED]:
    virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_MIGRATED,
  [virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_SAVED]: virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_SAVED,
  [virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT]:
    virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT
}

const reasonName = (reason: number) =>
  Object.entries(virDomainShutoffReason).find(([, known]) => known === reason)?.[0] ?? String(reason)

/** Audience of a run's end: listeners to events and those who ask for the state, the latter only, or nobody. */
type Audience = 'all' | 'state' | 'nobody'

/** Removes every trace of a run, once, even if several callers notice its end. */
export function cleanUp(domain: QemuDomain, ended: Ended, audience: Audience = 'all'): Promise<void> {
  const { run } = domain
  if (!run) return Promise.resolve()
  run.cleanUp ??= removeTraces(domain, run, ended, audience)
  return run.cleanUp
}

/** Removes the traces; status.json goes last, as a new shim finishes an interrupted removal by it. */
async function removeTraces(domain: QemuDomain, run: Run, ended: Ended, audience: Audience): Promise<void> {
  const { root, id } = domain
  const { monitor } = run
  if (monitor) await lastEvents(monitor)
  run.monitor = undefined
  monitor?.close()
  closeAgent(domain)
  domain.jobs.guestGone()
  domain.jobs.qemuJobs.clear()
  if (run.blockJobs.size > 0) {
    try {
      followPivots(domain, run)
    } catch (error) {
      domain.log.error({ err: error }, 'the persistent definition cannot follow a pivot')
    }
  }
  if (existsSync(journalOf(root))) await settleSnapshots(domain, run)
  // of images that were being made, or deleted
  for (const { files } of run.looseImages.values()) for (const file of files) rmSync(file, { force: true })
  // a start that was refused before there was anything to release is not told
  const isTold = run.phase !== undefined
  if (isTold) await tellHook(domain, 'stopped')
  await releaseNeeds(domain)
  if (isTold) await tellHook(domain, 'release')
  removeStatus(root.status)
  domain.id = -1
  domain.run = undefined
  domain.definitions.join()
  run.output?.drain()
  run.close()
  if (audience === 'nobody') return
  domain.lastEnd = ended
  domain.log.info({ reason: reasonName(ended.reason) }, 'guest stopped')
  domain.setState(virDomainState.VIR_DOMAIN_SHUTOFF, ended.reason)
  const { VIR_DOMAIN_EVENT_STOPPED_FAILED } = virDomainEventStoppedDetailType
  const known = STOPPED_DETAIL[ended.reason] ?? VIR_DOMAIN_EVENT_STOPPED_FAILED
  const detail = ended.byItself && ended.failed ? VIR_DOMAIN_EVENT_STOPPED_FAILED : known
  const of = ended.byItself ? { name: domain.name, uuid: domain.uuid, id } : undefined
  if (audience === 'all') domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_STOPPED, detail, undefined, of)
  run.tellEnded(ended)
}
