// State, info, control info and bulk statistics: answered from our own model and /proc, never behind a job.

import { virConnectGetAllDomainStatsFlags, virDomainControlState, virDomainStatsTypes } from '../../conf/enums.ts'
import { errorsFrom } from '../../conf/error.ts'
import { isStorageEmpty } from '../../conf/storage-source.ts'
import {
  array,
  flags,
  int,
  openFlags,
  struct,
  type TypedParams,
  typed,
  typedParams,
  uhyper,
  uint,
  type WireValue
} from '../../conf/wire.ts'
import { domainHandle } from '../host.ts'
import { methodFor } from '../method.ts'
import { blockStats, diskSourcePath } from './block.ts'
import type { QemuDomain } from './domain.ts'
import { interfaceStats } from './interface.ts'
import { balloonStats } from './memory.ts'
import { cpuTimes, waitNs } from './proc.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_CONTROL_OK, VIR_DOMAIN_CONTROL_OCCUPIED, VIR_DOMAIN_CONTROL_ERROR } = virDomainControlState

type Group = (domain: QemuDomain) => TypedParams | Promise<TypedParams>

/** One statistics group of virConnectGetAllDomainStats each, under libvirt's field names. */
const GROUPS: [bit: number, group: Group][] = [
  [
    virDomainStatsTypes.VIR_DOMAIN_STATS_STATE,
    domain => ({ 'state.state': typed.int(domain.state), 'state.reason': typed.int(domain.reason) })
  ],
  [
    virDomainStatsTypes.VIR_DOMAIN_STATS_CPU_TOTAL,
    (domain): TypedParams => {
      if (!domain.process) return {}
      const { totalNs, userNs, systemNs } = cpuTimes(domain.process.pid)
      return {
        'cpu.time': typed.ullong(totalNs),
        'cpu.user': typed.ullong(userNs),
        'cpu.system': typed.ullong(systemNs)
      }
    }
  ],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_BALLOON, balloonGroup],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_VCPU, vcpuGroup],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_INTERFACE, interfaceGroup],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_BLOCK, blockGroup]
]

async function balloonGroup(domain: QemuDomain): Promise<TypedParams> {
  const out: TypedParams = {
    'balloon.current': typed.ullong(domain.def.currentMemoryKiB ?? 0),
    'balloon.maximum': typed.ullong(domain.def.memoryKiB ?? 0)
  }
  if (!domain.isActive) return out
  const { rssKiB, values } = await balloonStats(domain)
  for (const [name, value] of Object.entries(values)) out[`balloon.${name}`] = typed.ullong(value)
  out['balloon.rss'] = typed.ullong(rssKiB)
  return out
}

function vcpuGroup(domain: QemuDomain): TypedParams {
  const out: TypedParams = {
    'vcpu.current': typed.uint(currentVcpus(domain)),
    'vcpu.maximum': typed.uint(domain.def.vcpu.max)
  }
  for (const [index, tid] of domain.vcpuThreads) {
    const { totalNs } = cpuTimes(domain.process!.pid, tid)
    out[`vcpu.${index}.state`] = typed.int(1)
    out[`vcpu.${index}.time`] = typed.ullong(totalNs)
    out[`vcpu.${index}.wait`] = typed.ullong(0)
    out[`vcpu.${index}.delay`] = typed.ullong(waitNs(domain.process!.pid, tid))
  }
  return out
}

function interfaceGroup(domain: QemuDomain): TypedParams {
  const { interfaces } = domain.def.devices
  const out: TypedParams = {}
  if (!domain.isActive) return out
  out['net.count'] = typed.uint(interfaces.length)
  interfaces.forEach((net, i) => {
    const name = net.target?.dev
    const stats = name === undefined ? undefined : interfaceStats(net)
    if (!stats) return
    out[`net.${i}.name`] = typed.string(name!)
    for (const way of ['rx', 'tx'] as const) {
      out[`net.${i}.${way}.bytes`] = typed.ullong(stats[`${way}_bytes`]!)
      out[`net.${i}.${way}.pkts`] = typed.ullong(stats[`${way}_packets`]!)
      out[`net.${i}.${way}.errs`] = typed.ullong(stats[`${way}_errors`]!)
      out[`net.${i}.${way}.drop`] = typed.ullong(stats[`${way}_dropped`]!)
    }
  })
  return out
}

async function blockGroup(domain: QemuDomain): Promise<TypedParams> {
  const { disks } = domain.def.devices
  const out: TypedParams = { 'block.count': typed.uint(disks.length) }
  const stats = domain.isActive ? await blockStats(domain).catch(() => undefined) : undefined
  disks.forEach((disk, i) => {
    out[`block.${i}.name`] = typed.string(disk.target?.dev ?? '')
    const path = diskSourcePath(disk)
    if (path) out[`block.${i}.path`] = typed.string(path)
    if (disk.source.index !== undefined && !isStorageEmpty(disk.source))
      out[`block.${i}.backingIndex`] = typed.uint(disk.source.index)
    const entry = stats?.get(disk)
    if (!entry) return
    out[`block.${i}.rd.reqs`] = typed.ullong(entry.rdOperations)
    out[`block.${i}.rd.bytes`] = typed.ullong(entry.rdBytes)
    out[`block.${i}.rd.times`] = typed.ullong(entry.rdTimeNs)
    out[`block.${i}.wr.reqs`] = typed.ullong(entry.wrOperations)
    out[`block.${i}.wr.bytes`] = typed.ullong(entry.wrBytes)
    out[`block.${i}.wr.times`] = typed.ullong(entry.wrTimeNs)
    out[`block.${i}.fl.reqs`] = typed.ullong(entry.flushOperations)
    out[`block.${i}.fl.times`] = typed.ullong(entry.flushTimeNs)
    if (entry.allocation !== undefined) out[`block.${i}.allocation`] = typed.ullong(entry.allocation)
    if (entry.capacity !== undefined) out[`block.${i}.capacity`] = typed.ullong(entry.capacity)
    if (entry.physical !== undefined) out[`block.${i}.physical`] = typed.ullong(entry.physical)
  })
  return out
}

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
  const params: TypedParams = {}
  for (const [bit, group] of GROUPS)
    if (wanted === 0 || (wanted & bit) !== 0) Object.assign(params, await group(domain))
  return { dom: { name: domain.name, uuid: domain.uuid, id: domain.id }, params }
}

/** vCPUs the guest has now. */
export function currentVcpus(domain: QemuDomain): number {
  return domain.vcpuThreads.size || domain.def.vcpu.current || domain.def.vcpu.max
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
      nrVirtCpu: currentVcpus(domain),
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

  /** CPU times of the guest as a whole (`startCpu` -1); per host CPU needs cgroup accounting. */
  virDomainGetCPUStats: method({
    since: '0.9.10',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: { startCpu: int(), ncpus: uint(), flags: flags() },
    ret: { params: array(typedParams, 128) },
    run(domain) {
      const { totalNs, userNs, systemNs } = cpuTimes(domain.process!.pid)
      return {
        params: [
          { cpu_time: typed.ullong(totalNs), user_time: typed.ullong(userNs), system_time: typed.ullong(systemNs) }
        ]
      }
    }
  })
}
