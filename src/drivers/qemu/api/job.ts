// What a guest is busy with. Long jobs are none yet: the answer is always that there is none.

import { virDomainGetJobStatsFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { flags, int, typedParams, uhyper } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

/** virDomainJobType's VIR_DOMAIN_JOB_NONE */
const JOB_NONE = 0

/** Counters of virDomainJobInfo; bytes, but times in ms. */
const COUNTERS = [
  'timeElapsed',
  'timeRemaining',
  'dataTotal',
  'dataProcessed',
  'dataRemaining',
  'memTotal',
  'memProcessed',
  'memRemaining',
  'fileTotal',
  'fileProcessed',
  'fileRemaining'
] as const

export const jobs = {
  virDomainGetJobInfo: method({
    since: '0.7.7',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: {},
    ret: { type: int('virDomainJobType'), ...Object.fromEntries(COUNTERS.map(name => [name, uhyper()])) },
    run: () => ({ type: JOB_NONE, ...Object.fromEntries(COUNTERS.map(name => [name, 0n])) })
  }),

  virDomainGetJobStats: method({
    since: '1.0.3',
    on: 'domain',
    acl: 'domain:read',
    args: { flags: flags(virDomainGetJobStatsFlags) },
    ret: { type: int('virDomainJobType'), params: typedParams },
    run(domain, { flags: bits }) {
      // that of a job that is over outlives the run
      if ((bits & virDomainGetJobStatsFlags.VIR_DOMAIN_JOB_STATS_COMPLETED) === 0) domain.checkActive()
      return { type: JOB_NONE, params: {} }
    }
  }),

  /** @throws VIR_ERR_OPERATION_INVALID as there is no job */
  virDomainAbortJob: method({
    since: '0.7.7',
    on: 'domain',
    acl: 'domain:write',
    needs: 'active',
    args: {},
    ret: {},
    run() {
      throw fail('VIR_ERR_OPERATION_INVALID', 'no job is active on the domain')
    }
  })
}
