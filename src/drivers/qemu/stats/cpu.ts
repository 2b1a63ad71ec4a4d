// CPU times of a guest by its control group, or as far as /proc tells (virCgroupGetDomainTotalCpuStats,
// virCgroupGetPercpuStats).
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorsFrom } from '../../../conf/error.ts'
import { type TypedParams, typed } from '../../../conf/wire.ts'
import { cpuTimes } from '../../../host/proc.ts'
import { hostCpus } from '../../../host/topology.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_CGROUP')

const TOTAL = -1
const PER_CPU = 'cpuacct.usage_percpu'

/** Times in ns. @throws VIR_ERR_OPERATION_INVALID for single CPUs without a group that counts them */
export function cpuStats(domain: QemuDomain, startCpu: number, count: number): TypedParams[] {
  const { pid } = domain.process!
  if (startCpu === TOTAL) {
    const { totalNs, userNs, systemNs } = cpuTimes(pid)
    const total = typed.ullong(totalNs)
    return [{ cpu_time: total, user_time: typed.ullong(userNs), system_time: typed.ullong(systemNs) }]
  }
  const group = domain.running.cgroups.find(path => existsSync(join(path, PER_CPU)))
  if (group === undefined) throw fail('VIR_ERR_OPERATION_INVALID', 'cgroup CPUACCT controller is not mounted')
  const { present } = hostCpus()
  if (startCpu >= present)
    throw failDomain('VIR_ERR_INVALID_ARG', `start_cpu ${startCpu} larger than maximum of ${present - 1}`)
  const times = perCpu(group)
  return times.slice(startCpu, startCpu + count).map(time => ({ cpu_time: typed.ullong(time) }))
}

const perCpu = (group: string) => readFileSync(join(group, PER_CPU), 'utf8').trim().split(/\s+/).map(BigInt)
