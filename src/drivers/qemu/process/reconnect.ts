// Taking over a guest that a former shim left.
import { virDomainShutoffReason } from '../../../conf/enums.ts'
import { isAlive, type Status } from '../../../state/status.ts'
import type { Taint } from '../../../state/taint.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { beginRun } from '../domain/run.ts'
import { catchUp } from './catch-up.ts'
import { findQemu } from './launch.ts'
import { openMonitor } from './monitor.ts'
import { setUp } from './refresh.ts'
import { cleanUp, endProcess, stopDomain } from './stop.ts'

/**
 * Takes over the guest a former shim left, by its saved status.
 * @returns true when the guest runs under us; false when there is nothing left and it may be started anew
 */
export async function reconnectDomain(domain: QemuDomain, status: Status): Promise<boolean> {
  domain.id = status.id
  domain.phase = status.phase
  domain.process = status.process
  domain.cgroups = status.cgroups
  domain.registration = status.registration
  domain.originalCpu = status.originalCpu
  for (const one of status.taints ?? []) domain.taints.add(one as Taint)
  domain.deprecations = status.deprecations ?? []
  domain.paused = status.paused
  domain.fakeReboot = status.fakeReboot ?? false
  domain.autoDestroy = status.autoDestroy
  domain.restoreState(status.state, status.reason, status.stateTimeMs, status.generation)
  if (status.phase === 'starting') {
    domain.process ??= findQemu(domain.root)
    domain.log.warn({ pid: domain.process?.pid }, 'a start was cut short, removing what it left')
    await endProcess(domain)
    await cleanUp(domain, { reason: virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_FAILED, failed: true }, 'nobody')
    return false
  }
  beginRun(domain)
  if (!domain.process || !isAlive(domain.process)) {
    domain.log.warn({}, 'the guest ended while no shim watched it')
    const stopping = status.phase === 'stopping'
    await cleanUp(domain, {
      reason: stopping
        ? virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_DESTROYED
        : virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_CRASHED,
      failed: !stopping
    })
    return stopping
  }
  if (status.phase === 'stopping') {
    await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_DESTROYED)
    return true
  }
  domain.user = status.user
  domain.group = status.group
  domain.monitor = await openMonitor(domain)
  await setUp(domain)
  await catchUp(domain)
  domain.log.info({ pid: domain.process.pid }, 'reattached to running guest')
  return true
}
