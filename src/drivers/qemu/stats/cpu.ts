// CPU times of a guest by its control group, or as far as /proc tells (virCgroupGetDomainTotalCpuStats,
// virCgroupGetPercpuStats).
import { errorsFrom } from '../../../conf/error.ts'
import { type TypedParams, typed } from '../../../conf/wire.ts'
import { cpuTimesByCpu, groupWith } from '../../../host/cgroup.ts'
import { cpuTimes } from '../../../host/proc.ts'
import { hostCpus } from '../../../host/topology.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { divideThreads, threadGroup, vcpusOf } from '../process/tuning/threads.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_CGROUP')

const TOTAL = -1

/**
 * Times in ns. Of single CPUs also what the vCPUs took: since they have groups of their own, which they get at the first
 * of these calls if not before.
 * @throws VIR_ERR_OPERATION_INVALID for single CPUs without a group that counts them, VIR_ERR_OPERATION_UNSUPPORTED where
 *   the kernel does not count them
 */
export async function cpuStats(domain: QemuDomain, startCpu: number, count: number): Promise<TypedParams[]> {
  const { pid } = domain.process!
  if (startCpu === TOTAL) {
    const { totalNs, userNs, systemNs } = cpuTimes(pid)
    const total = typed.ullong(totalNs)
    return [{ cpu_time: total, user_time: typed.ullong(userNs), system_time: typed.ullong(systemNs) }]
  }
  const group = groupWith(domain.running.cgroups, 'cpuacct')
  if (group === undefined) throw fail('VIR_ERR_OPERATION_INVALID', 'cgroup CPUACCT controller is not mounted')
  const { present } = hostCpus()
  if (startCpu >= present)
    throw failDomain('VIR_ERR_INVALID_ARG', `start_cpu ${startCpu} larger than maximum of ${present - 1}`)
  const times = await cpuTimesByCpu(group)
  const ofVcpus = await vcpuTimes(domain)
  return times.slice(startCpu, startCpu + count).map((time, i) => ({
    cpu_time: typed.ullong(time),
    vcpu_time: typed.ullong(ofVcpus[startCpu + i] ?? 0n)
  }))
}

/** The sum over all vCPUs on each CPU of the host. */
async function vcpuTimes(domain: QemuDomain): Promise<bigint[]> {
  await divideThreads(domain)
  const sum: bigint[] = []
  for (const vcpu of vcpusOf(domain)) {
    const group = threadGroup(domain, vcpu, 'cpuacct')
    const times = group ? await cpuTimesByCpu(group) : []
    times.forEach((time, cpu) => {
      sum[cpu] = (sum[cpu] ?? 0n) + time
    })
  }
  return sum
}
