// The connection to a running QEMU: opened with a limit, opened again when only the connection was lost.
import { setTimeout as sleep } from 'node:timers/promises'
import { virDomainShutoffReason, virDomainState } from '../../../conf/enums.ts'
import { errorsFrom, toVirError, type VirError } from '../../../conf/error.ts'
import { isAlive } from '../../../state/status.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { connectQmp, QmpError, type QmpMonitor } from '../monitor/qmp.ts'
import { cleanUp } from './stop.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Time QEMU may take until its monitor answers; libvirt's default. */
const START_TIMEOUT_MS = 30_000

/**
 * Waits for QEMU's monitor and takes its events from then on.
 * @param exited settles when QEMU has ended, if it is our child
 * @throws VIR_ERR_OPERATION_TIMEOUT, VIR_ERR_INTERNAL_ERROR when QEMU ends first
 */
export async function openMonitor(domain: QemuDomain, exited?: Promise<string>): Promise<QmpMonitor> {
  const deadline = Date.now() + START_TIMEOUT_MS
  let gone: string | undefined
  void exited?.then(how => {
    gone = how
  })
  for (;;) {
    try {
      const monitor = await connectQmp(domain.root.monitorSocket, Math.max(deadline - Date.now(), 1))
      monitor.on('event', event => {
        domain.monitorListeners.tell(event)
        domain.handleEvent(event)
      })
      monitor.on('close', reason => void monitorClosed(domain, monitor, reason))
      return monitor
    } catch (error) {
      if (gone !== undefined)
        throw fail('VIR_ERR_INTERNAL_ERROR', `QEMU ended with ${gone} before its monitor answered`, error)
      if (Date.now() >= deadline) throw fail('VIR_ERR_OPERATION_TIMEOUT', 'QEMU monitor socket did not show up', error)
      if (toVirError(error).code !== 'VIR_ERR_OPERATION_FAILED') throw error
      await sleep(2)
    }
  }
}

/** Acts on the end of the monitor: either QEMU ended, or only the connection did. */
async function monitorClosed(domain: QemuDomain, monitor: QmpMonitor, reason: VirError): Promise<void> {
  const { run } = domain
  if (run?.monitor !== monitor) return
  run.monitor = undefined
  // a start that fails cleans up by itself, and tells nobody that the guest has stopped
  await run.startDone
  if (domain.run !== run || run.phase !== 'running' || !run.process) return
  // libvirt tells it of a connection that was reset or garbled (qemuProcessHandleMonitorError), not of one that ended
  if (monitor.isBroken) domain.events.emit('VIR_DOMAIN_EVENT_ID_CONTROL_ERROR', {})
  const { process: identity } = run
  for (let i = 0; i < 100 && isAlive(identity); i++) await sleep(10)
  if (domain.run !== run || run.phase !== 'running') return
  if (isAlive(identity)) {
    domain.log.error({ err: reason }, 'monitor connection lost, connecting again')
    try {
      run.monitor = await openMonitor(domain)
      await (await import('./catch-up.ts')).catchUp(domain)
    } catch (error) {
      domain.log.error({ err: error }, 'monitor cannot be reached; the guest is left alone')
    }
    return
  }
  run.phase = 'stopping'
  const shutDown = domain.state === virDomainState.VIR_DOMAIN_SHUTDOWN
  const { VIR_DOMAIN_SHUTOFF_SHUTDOWN, VIR_DOMAIN_SHUTOFF_CRASHED } = virDomainShutoffReason
  if (!shutDown) domain.log.error({ err: reason, qemu: run.output?.words }, 'QEMU ended unexpectedly')
  await cleanUp(domain, {
    reason: shutDown ? VIR_DOMAIN_SHUTOFF_SHUTDOWN : VIR_DOMAIN_SHUTOFF_CRASHED,
    failed: !shutDown,
    byItself: true
  })
}

/** Time a QEMU that lost its connection may take to be heard again, or to be gone. */
const HEARD_LIMIT_MS = START_TIMEOUT_MS + 5_000

/**
 * Waits for what becomes of a QEMU that has not answered.
 * @returns again: it listens, if it ever ceased; ended: all of its run is gone; never: nobody knows
 */
export async function untilHeard(domain: QemuDomain): Promise<'again' | 'ended' | 'never'> {
  const { run } = domain
  if (!run) return 'ended'
  for (const deadline = Date.now() + HEARD_LIMIT_MS; Date.now() < deadline; await sleep(10)) {
    if (domain.run !== run) return 'ended'
    if (run.cleanUp) await run.cleanUp
    // one that we have let go of is not looked for
    else if (run.monitor?.closed) return 'never'
    else if (run.monitor && !run.monitor.closed) return 'again'
  }
  return 'never'
}

/** True for QEMU's own refusal: it has not done what it was told. Otherwise it may have, or may yet. */
export const isRefusal = (error: unknown): boolean => (error as Error).cause instanceof QmpError

/** True where QEMU did not answer, and is heard again: it may have done what it was told. */
export async function isFoundAgain(domain: QemuDomain, error: unknown): Promise<boolean> {
  return !isRefusal(error) && (await untilHeard(domain)) === 'again'
}
