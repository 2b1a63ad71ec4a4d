// Taking over a guest that a former shim left.
import { virDomainShutoffReason } from '../../../conf/enums.ts'
import { isAlive } from '../../../state/status.ts'
import { keepRemoved } from '../cpu/guest.ts'
import { withCustomCapabilities } from '../definition/custom-capabilities.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { Run } from '../domain/run.ts'
import { loadStatus, type Status } from '../domain/status.ts'
import { masterKeyFile, readMasterKey } from '../parts/secret.ts'
import { catchUp } from './catch-up.ts'
import { callHook } from './hooks.ts'
import { findQemu } from './launch.ts'
import { openMonitor } from './monitor.ts'
import { QemuOutput } from './output.ts'
import { refreshDomain } from './refresh.ts'
import { withSocketDir } from './start.ts'
import { cleanUp, endProcess, stopDomain } from './stop.ts'
import { asksForCounters } from './tuning/demands.ts'

/**
 * Takes over the guest a former shim left, by its saved status (qemuProcessReconnect).
 * @param saved its memory is in a file by now: it is to end
 * @throws VIR_ERR_HOOK_SCRIPT_FAILED where a hook script refuses it; the guest is ended then
 * @returns true when the guest runs under us, or was ended by us; false when there is nothing left and it may be started anew
 */
export async function reconnectDomain(domain: QemuDomain, status: Status, saved = false): Promise<boolean> {
  const { user, group } = status
  const run = new Run(domain.context, { user, group })
  domain.run = run
  loadStatus(status, run, domain)
  run.context = withCustomCapabilities(domain.def, withSocketDir(domain))
  run.masterKey = readMasterKey(masterKeyFile(run.context.paths.libDir))
  domain.restoreState(status.state, status.reason, status.stateTimeMs, status.generation)
  run.output = QemuOutput.attach(domain.root)
  if (status.phase === 'starting') {
    run.process ??= await findQemu(run.id)
    domain.log.warn({ pid: run.process?.pid }, 'a start was cut short, removing what it left')
    await endProcess(domain)
    await cleanUp(domain, { reason: virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_FAILED, failed: true }, 'nobody')
    return false
  }
  run.watchLogs(() => [domain.root.log, domain.root.shimLog])
  const { VIR_DOMAIN_SHUTOFF_CRASHED, VIR_DOMAIN_SHUTOFF_DESTROYED, VIR_DOMAIN_SHUTOFF_SAVED } = virDomainShutoffReason
  const stopped = status.phase === 'stopping' ? VIR_DOMAIN_SHUTOFF_DESTROYED : undefined
  const ends = saved ? VIR_DOMAIN_SHUTOFF_SAVED : stopped
  const isGone = !run.process || !isAlive(run.process)
  if (isGone || ends) {
    if (isGone) domain.log.warn({}, 'the guest ended while no shim watched it')
    if (isGone) await cleanUp(domain, { reason: ends ?? VIR_DOMAIN_SHUTOFF_CRASHED, failed: !ends })
    else await stopDomain(domain, ends!)
    // a snapshot that was settled with the guest's end has it
    if (!run.memoryFile) delete status.memoryFile
    return ends !== undefined
  }
  if (status.job) domain.jobs.restore(status.job)
  run.monitor = await openMonitor(domain)
  keepRemoved(domain.def)
  await refreshDomain(domain)
  await catchUp(domain)
  if (!domain.isActive) return true
  if (asksForCounters(domain.def)) await (await import('./tuning/perf.ts')).restartCounters(domain)
  await callHook(domain, 'reconnect').catch(async error => {
    await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_DAEMON)
    throw error
  })
  domain.log.info({ pid: run.process?.pid }, 'reattached to running guest')
  return true
}
