// Performance counters of a running guest (qemuProcessEnablePerf, qemuDomainPerfRestart). They are this process' own and
// begin anew with the next one.
import { PERF_EVENTS } from '../../../../conf/domain/perf.ts'
import { PerfCounters } from '../../../../host/perf-counters.ts'
import type { QemuDomain } from '../../domain/domain.ts'

/** The counters of the run, none of them enabled at first. */
export function countersOf({ running }: QemuDomain): PerfCounters {
  running.counters ??= new PerfCounters(running.process!.pid)
  return running.counters
}

/** Counts what the definition says. @throws VIR_ERR_ARGUMENT_UNSUPPORTED, VIR_ERR_SYSTEM_ERROR */
export async function startCounters(domain: QemuDomain): Promise<void> {
  for (const event of PERF_EVENTS) if (domain.def.perf?.[event]) await countersOf(domain).enable(event)
}

/** The same for a guest that was taken over: what cannot be counted any more is disabled. */
export async function restartCounters(domain: QemuDomain): Promise<void> {
  for (const event of PERF_EVENTS) {
    if (!domain.def.perf?.[event]) continue
    await countersOf(domain)
      .enable(event)
      .catch(error => {
        domain.log.warn({ err: error, event }, 'event is not counted any more')
        domain.change({ live: true }, def => ({ ...def, perf: { ...def.perf, [event]: false } }))
      })
  }
}
