// State, info, control info and bulk statistics: answered from our own model and /proc, never behind a job.
import { virDomainControlErrorReason, virDomainControlState } from '../../../conf/enums.ts'
import { array, flags, int, typedParams, uhyper, uint } from '../../../conf/wire.ts'
import { cpuTimes } from '../../../host/proc.ts'
import { statsRecord } from '../../connection.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { cpuStats } from '../stats/cpu.ts'
import { checkGroups, recordOf, statsFlags, statsGroups } from '../stats/record.ts'

const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_CONTROL_OK, VIR_DOMAIN_CONTROL_JOB, VIR_DOMAIN_CONTROL_OCCUPIED, VIR_DOMAIN_CONTROL_ERROR } =
  virDomainControlState
const { VIR_DOMAIN_CONTROL_ERROR_REASON_MONITOR } = virDomainControlErrorReason

export const stats = {
  /** State and reason, both libvirt's numbers. */
  virDomainGetState: method({
    since: '0.9.2',
    on: 'domain',
    acl: 'domain:read',
    args: { flags: flags() },
    ret: { state: int('virDomainState'), reason: int() },
    run: domain => ({ state: domain.state, reason: domain.reason })
  }),

  virDomainGetInfo: method({
    since: '0.0.1',
    on: 'domain',
    acl: 'domain:read',
    args: {},
    ret: {
      state: int('virDomainState'),
      maxMem: uhyper('KiB'),
      memory: uhyper('KiB'),
      nrVirtCpu: uint(),
      cpuTime: uhyper('ns')
    },
    run: domain => ({
      state: domain.state,
      maxMem: BigInt(domain.def.memoryKiB ?? 0),
      memory: BigInt(domain.def.currentMemoryKiB ?? domain.def.memoryKiB ?? 0),
      nrVirtCpu: domain.vcpuCount,
      cpuTime: domain.process ? cpuTimes(domain.process.pid).totalNs : 0n
    })
  }),

  /** The monitor's occupation and its duration: ok, a step of the async job, occupied by another, or lost. */
  virDomainGetControlInfo: method({
    since: '0.9.3',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: { flags: flags() },
    ret: { state: uint('virDomainControlState'), details: uint(), stateTime: uhyper('ms') },
    run(domain) {
      if (!domain.monitor || domain.monitor.closed)
        return { state: VIR_DOMAIN_CONTROL_ERROR, details: VIR_DOMAIN_CONTROL_ERROR_REASON_MONITOR, stateTime: 0n }
      const { active, async } = domain.jobs
      if (!active) return { state: VIR_DOMAIN_CONTROL_OK, details: 0, stateTime: 0n }
      const { sinceMs } = async ?? active
      const state = async ? VIR_DOMAIN_CONTROL_JOB : VIR_DOMAIN_CONTROL_OCCUPIED
      return { state, details: 0, stateTime: BigInt(Math.max(Date.now() - sinceMs, 0)) }
    }
  }),

  /** Statistics of this guest as one record; 0 asks for all groups. What QEMU does not answer in time is left out. */
  virDomainListGetStats: method({
    since: '1.2.8',
    on: 'domain',
    acl: 'domain:read',
    args: { stats: statsGroups, flags: statsFlags },
    ret: { retStats: array(statsRecord, 1) },
    async run(domain, { stats: wanted, flags: bits }) {
      checkGroups(wanted, bits)
      return { retStats: [await recordOf(domain, wanted, bits)] }
    }
  }),

  /**
   * CPU times in ns: of the guest as a whole with `startCpu` -1, else of `ncpus` CPUs of the host from that one on, by
   * the guest's control group.
   */
  virDomainGetCPUStats: method({
    since: '0.9.10',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: { startCpu: int(), ncpus: uint(), flags: flags() },
    ret: { params: array(typedParams, 128) },
    run: async (domain, { startCpu, ncpus }) => ({ params: await cpuStats(domain, startCpu, ncpus) })
  })
}
