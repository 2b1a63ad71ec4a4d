// State, info, control info and bulk statistics: answered from our own model and /proc, never behind a job.

import { virConnectGetAllDomainStatsFlags, virDomainControlState, virDomainStatsTypes } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import {
  array,
  flags,
  int,
  openFlags,
  struct,
  type TypedParams,
  typedParams,
  uhyper,
  uint,
  type WireValue
} from '../../../conf/wire.ts'
import { cpuTimes } from '../../../host/proc.ts'
import { domainHandle } from '../../connection.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { cpuStats } from '../stats/cpu.ts'
import { STATS_GROUPS } from '../stats/groups.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_CONTROL_OK, VIR_DOMAIN_CONTROL_OCCUPIED, VIR_DOMAIN_CONTROL_ERROR } = virDomainControlState

/** Arguments and result of the bulk statistics calls. */
export const statsGroups = openFlags(virDomainStatsTypes)
export const statsFlags = flags(virConnectGetAllDomainStatsFlags)
export const statsRecord = struct({ dom: domainHandle, params: typedParams })

/** @throws VIR_ERR_ARGUMENT_UNSUPPORTED for groups there are not, if the flags insist (qemuDomainGetStatsCheckSupport) */
export function checkGroups(wanted: number, flags: number): void {
  const known = Object.values(virDomainStatsTypes).reduce((all, bit) => all | bit, 0)
  const unknown = (wanted & ~known) >>> 0
  if (unknown === 0 || (flags & virConnectGetAllDomainStatsFlags.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS) === 0)
    return
  const what = `Stats types bits 0x${unknown.toString(16)} are not supported by this daemon or QEMU`
  throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', what)
}

/** The record of one guest; `wanted` 0 asks for all groups. */
export async function recordOf(domain: QemuDomain, wanted: number): Promise<WireValue<typeof statsRecord>> {
  const groups = STATS_GROUPS.filter(([bit]) => wanted === 0 || (wanted & bit) !== 0)
  // their questions to QEMU are under way together
  const params: TypedParams = Object.assign({}, ...(await Promise.all(groups.map(([, group]) => group(domain)))))
  return { dom: { name: domain.name, uuid: domain.uuid, id: domain.id }, params }
}

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

  /** What the monitor is doing: ok, occupied by a job, or lost. */
  virDomainGetControlInfo: method({
    since: '0.9.3',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: { flags: flags() },
    ret: { state: uint('virDomainControlState'), details: uint(), stateTime: uhyper('ms') },
    run(domain) {
      if (!domain.monitor || domain.monitor.closed)
        return { state: VIR_DOMAIN_CONTROL_ERROR, details: 2, stateTime: 0n }
      const state = domain.jobs.holder ? VIR_DOMAIN_CONTROL_OCCUPIED : VIR_DOMAIN_CONTROL_OK
      return { state, details: 0, stateTime: 0n }
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
      return { retStats: [await recordOf(domain, wanted)] }
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
    run: (domain, { startCpu, ncpus }) => ({ params: cpuStats(domain, startCpu, ncpus) })
  })
}
