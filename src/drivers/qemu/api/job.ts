// The work a guest is busy with: the async job under way, and the result of the last one.

import { virDomainAbortJobFlagsValues, virDomainGetJobStatsFlags } from '../../../conf/enums.ts'
import { flags, int, typedParams, uhyper } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { abortJob } from '../job/abort.ts'
import { COUNTERS, currentJob, jobInfo, jobParams, jobType } from '../job/progress.ts'

const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_JOB_STATS_COMPLETED, VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED } = virDomainGetJobStatsFlags

const counters = Object.fromEntries(COUNTERS.map(name => [name, uhyper()])) as Record<
  (typeof COUNTERS)[number],
  ReturnType<typeof uhyper>
>

export const job = {
  /** Progress of the job under way; bytes, but times in ms. */
  virDomainGetJobInfo: method({
    since: '0.7.7',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: {},
    ret: { type: int('virDomainJobType'), ...counters },
    async run(domain) {
      const data = await currentJob(domain)
      return { type: jobType(data), ...jobInfo(data) }
    }
  }),

  /**
   * As virDomainGetJobInfo, with all that the job counts. VIR_DOMAIN_JOB_STATS_COMPLETED asks what the last one came to,
   * once unless VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED; that outlives the run.
   */
  virDomainGetJobStats: method({
    since: '1.0.3',
    on: 'domain',
    acl: 'domain:read',
    needs: ({ flags: bits }) => ((bits & VIR_DOMAIN_JOB_STATS_COMPLETED) === 0 ? 'active' : undefined),
    args: { flags: flags(virDomainGetJobStatsFlags) },
    ret: { type: int('virDomainJobType'), params: typedParams },
    async run(domain, { flags: bits }) {
      const forget = (bits & VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED) === 0
      const data =
        (bits & VIR_DOMAIN_JOB_STATS_COMPLETED) === 0 ? await currentJob(domain) : domain.jobs.takeCompleted({ forget })
      return { type: jobType(data), params: jobParams(data) }
    }
  }),

  virDomainAbortJob: method({
    since: '0.7.7',
    on: 'domain',
    acl: 'domain:write',
    job: 'abort',
    needs: 'active',
    args: {},
    ret: {},
    async run(domain) {
      await abortJob(domain, 0)
      return {}
    }
  }),

  /** As virDomainAbortJob; VIR_DOMAIN_ABORT_JOB_POSTCOPY pauses a migration that can no longer be given up. */
  virDomainAbortJobFlags: method({
    since: '8.5.0',
    on: 'domain',
    acl: 'domain:write',
    job: 'abort',
    needs: 'active',
    args: { flags: flags(virDomainAbortJobFlagsValues) },
    ret: {},
    async run(domain, { flags: bits }) {
      await abortJob(domain, bits)
      return {}
    }
  })
}
