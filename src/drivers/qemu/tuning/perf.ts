// Performance counters of a running guest and of its definitions.
import { PERF_EVENTS, type PerfEvent } from '../../../conf/domain/perf.ts'
import type { Meant } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { countersOf } from '../process/tuning/perf.ts'
import { inSteps } from './steps.ts'

/** @throws VIR_ERR_ARGUMENT_UNSUPPORTED for what the host cannot count, VIR_ERR_SYSTEM_ERROR */
export async function setPerfEvents(
  domain: QemuDomain,
  wanted: Partial<Record<PerfEvent, boolean>>,
  meant: Meant
): Promise<void> {
  await inSteps(async step => {
    const counters = meant.live && countersOf(domain)
    const set = (event: PerfEvent, on: boolean) => (on ? counters!.enable(event) : counters!.disable(event))
    for (const event of counters ? PERF_EVENTS : []) {
      const on = wanted[event]
      if (on === undefined || on === counters!.isEnabled(event)) continue
      await step(
        () => set(event, on),
        () => set(event, !on)
      )
    }
    domain.change(meant, def => ({ ...def, perf: { ...def.perf, ...wanted } }))
  })
}
