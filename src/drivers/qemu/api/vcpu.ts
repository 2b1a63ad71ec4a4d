// vCPU counts and where they run.
import { cpus as hostCpus } from 'node:os'
import { virDomainModificationImpact, virDomainVcpuFlags, virVcpuState } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { array, bool, flags, int, struct, uhyper, uint } from '../../../conf/wire.ts'
import { allowedCpus, cpuTimes } from '../../../host/proc.ts'
import { methodFor } from '../../method.ts'
import { availableAgent } from '../agent/channel.ts'
import { guestVcpus } from '../agent/vcpus.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_VCPU_MAXIMUM, VIR_DOMAIN_VCPU_GUEST } = virDomainVcpuFlags

export const vcpu = {
  /** vCPUs the running guest may have. */
  virDomainGetMaxVcpus: method({
    since: '0.2.1',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: {},
    ret: { num: int() },
    run: domain => ({ num: domain.def.vcpu.max })
  }),

  /** vCPUs now, or with VIR_DOMAIN_VCPU_MAXIMUM at most, of the live or the persistent definition. */
  virDomainGetVcpusFlags: method({
    since: '0.8.5',
    on: 'domain',
    acl: 'domain:read',
    job: ({ flags: bits }) => ((bits & VIR_DOMAIN_VCPU_GUEST) !== 0 ? { agent: 'query' } : undefined),
    impact: 'one',
    args: { flags: flags(virDomainModificationImpact, { VIR_DOMAIN_VCPU_MAXIMUM, VIR_DOMAIN_VCPU_GUEST }) },
    ret: { num: int() },
    async run(domain, { flags: bits }, { def, live }) {
      if ((bits & VIR_DOMAIN_VCPU_GUEST) !== 0) {
        if (!domain.isActive) {
          const what = 'vCPU count provided by the guest agent can only be requested for live domains'
          throw fail('VIR_ERR_INVALID_ARG', what)
        }
        const list = await guestVcpus(availableAgent(domain))
        return {
          num: (bits & VIR_DOMAIN_VCPU_MAXIMUM) !== 0 ? list.length : list.filter(({ online }) => online).length
        }
      }
      if ((bits & VIR_DOMAIN_VCPU_MAXIMUM) !== 0) return { num: def.vcpu.max }
      return { num: live ? domain.vcpuCount : (def.vcpu.current ?? def.vcpu.max) }
    }
  }),

  /** State, CPU time and place of each vCPU, and the host CPUs it may run on. */
  virDomainGetVcpus: method({
    since: '0.1.4',
    on: 'domain',
    acl: 'domain:read',
    needs: { active: 'cannot retrieve vcpu information for inactive domain' },
    args: {},
    ret: {
      info: array(
        struct({ number: uint(), state: int('virVcpuState'), cpuTime: uhyper('ns'), cpu: int('host CPU') }),
        16384
      ),
      cpumaps: array(array(bool, 16384), 16384)
    },
    run(domain) {
      const { pid } = domain.process!
      const host = hostCpus().length
      const vcpus = [...domain.running.vcpuThreads].map(([number, tid]) => ({ number, tid, times: cpuTimes(pid, tid) }))
      return {
        info: vcpus.map(({ number, times }) => ({
          number,
          state: virVcpuState.VIR_VCPU_RUNNING,
          cpuTime: times.totalNs,
          cpu: times.cpu
        })),
        cpumaps: vcpus.map(({ tid }) => {
          const allowed = allowedCpus(pid, tid)
          return Array.from({ length: host }, (_, cpu) => allowed.has(cpu))
        })
      }
    }
  })
}
