// Answers to an aggregator that asks again and again. A shim of which nobody wants more gives them without loading its
// HTTP server (report-service.ts); with it these are routes like others.
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import { wholeNumber } from './query.ts'
import { report } from './report.ts'

/** Longest wait a report request may ask for, in seconds. */
const REPORT_WAIT_MAX_S = 300

type Query = Readonly<Record<string, string | undefined>>

/**
 * The answers by path. One that waits does so until the signal at most; undefined means that nothing has changed.
 * @throws VIR_ERR_INVALID_ARG for a bad query
 */
export const POLLED: Readonly<
  Record<string, (domain: QemuDomain, query: Query, signal: AbortSignal) => Promise<object | undefined>>
> = {
  async '/v1/report'(domain, query, signal) {
    const since = wholeNumber(query.since, 'since') ?? -1
    const waitS = Math.min(wholeNumber(query.wait, 'wait') ?? 0, REPORT_WAIT_MAX_S)
    const changed = await domain.waitForChange(since, signal.aborted ? 0 : waitS * 1000, signal)
    return changed ? report(domain) : undefined
  },

  /** What the guest is busy with. */
  async '/v1/jobs'(domain) {
    const { listJobs } = await import('../drivers/qemu/job/list.ts')
    return { jobs: await listJobs(domain) }
  },

  /** One guest's share of bulk statistics: values with the types RPC clients are to see. */
  async '/v1/stats'(domain, query) {
    const { recordOf } = await import('../drivers/qemu/stats/record.ts')
    const wanted = wholeNumber(query.stats, 'stats') ?? 0
    return (await recordOf(domain, wanted, wholeNumber(query.flags, 'flags') ?? 0)).params
  }
}
