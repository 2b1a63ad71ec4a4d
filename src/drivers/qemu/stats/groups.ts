// The groups of virConnectGetAllDomainStats, each with libvirt's field names.

import type { DiskDef } from '../../../conf/devices/disk.ts'
import { PERF_EVENTS } from '../../../conf/domain/perf.ts'
import { virConnectGetAllDomainStatsFlags, virDomainStatsTypes } from '../../../conf/enums.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { isLocalStorage, type StorageSource } from '../../../conf/storage/source.ts'
import { type TypedParams, typed } from '../../../conf/wire.ts'
import { cpuTimes, waitNs } from '../../../host/proc.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { balloonStats } from './balloon.ts'
import { type DiskCounters, diskCounters, imageSizes, limitsOf, nodeStats, sizesByNodes } from './block.ts'
import { interfaceStats } from './interface.ts'
import { haltPollNs, vcpuKvmStats, vmKvmStats } from './kvm.ts'
import { query } from './query.ts'

/** @param flags virConnectGetAllDomainStatsFlags */
export type StatsGroup = (domain: QemuDomain, flags: number) => TypedParams | Promise<TypedParams>

/** One statistics group of virConnectGetAllDomainStats each, under libvirt's field names. */
export const STATS_GROUPS: [bit: number, group: StatsGroup][] = [
  [
    virDomainStatsTypes.VIR_DOMAIN_STATS_STATE,
    domain => ({ 'state.state': typed.int(domain.state), 'state.reason': typed.int(domain.reason) })
  ],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_CPU_TOTAL, cpuGroup],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_BALLOON, balloonGroup],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_VCPU, vcpuGroup],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_INTERFACE, interfaceGroup],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_BLOCK, blockGroup],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_PERF, perfGroup],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_IOTHREAD, iothreadGroup],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_DIRTYRATE, dirtyRateGroup],
  [virDomainStatsTypes.VIR_DOMAIN_STATS_VM, vmGroup]
]

const UINT_MAX = 2 ** 32 - 1
const NO_TIMES = { totalNs: 0n, userNs: 0n, systemNs: 0n }

async function cpuGroup(domain: QemuDomain): Promise<TypedParams> {
  const { totalNs, userNs, systemNs } = domain.process ? cpuTimes(domain.process.pid) : NO_TIMES
  const times = {
    'cpu.time': typed.ullong(totalNs),
    'cpu.user': typed.ullong(userNs),
    'cpu.system': typed.ullong(systemNs)
  }
  // libvirt has these fields for a guest that is shut off as well, with times of its own process
  if (!domain.process) return times
  const polled = await haltPollNs(domain)
  return {
    ...times,
    // none is ever made: cache monitors need resctrl
    'cpu.cache.monitor.count': typed.uint(0),
    ...(polled && {
      'cpu.haltpoll.success.time': typed.ullong(polled.success),
      'cpu.haltpoll.fail.time': typed.ullong(polled.fail)
    })
  }
}

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

async function vcpuGroup(domain: QemuDomain): Promise<TypedParams> {
  const out: TypedParams = {
    'vcpu.current': typed.uint(domain.vcpuCount),
    'vcpu.maximum': typed.uint(domain.def.vcpu.max)
  }
  const ofKvm = await vcpuKvmStats(domain)
  for (const [index, tid] of domain.run?.vcpuThreads ?? []) {
    const { totalNs } = cpuTimes(domain.process!.pid, tid)
    out[`vcpu.${index}.state`] = typed.int(1)
    out[`vcpu.${index}.time`] = typed.ullong(totalNs)
    out[`vcpu.${index}.wait`] = typed.ullong(0)
    out[`vcpu.${index}.delay`] = typed.ullong(waitNs(domain.process!.pid, tid))
    for (const [name, value] of ofKvm(index)) out[`vcpu.${index}.${name}`] = value
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

type Sizes = Partial<Record<'allocation' | 'capacity' | 'physical' | 'threshold', bigint | undefined>>

function sizes(record: number, found: Sizes | undefined): TypedParams {
  const out: TypedParams = {}
  for (const name of ['allocation', 'capacity', 'physical', 'threshold'] as const) {
    const size = found?.[name]
    if (size !== undefined) out[`block.${record}.${name}`] = typed.ullong(size)
  }
  return out
}

const named = (record: number, params: [string, TypedParams[string]][]): TypedParams =>
  Object.fromEntries(params.map(([name, value]) => [`block.${record}.${name}`, value]))

/** A record for each disk, or with VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING for each of its images, the first on top. */
async function blockGroup(domain: QemuDomain, flags: number): Promise<TypedParams> {
  const { VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING } = virConnectGetAllDomainStatsFlags
  const withBacking = (flags & VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING) !== 0
  const told = <T>(asked: Promise<T>) => asked.catch(() => undefined)
  const [stats, nodes] = domain.isActive ? await Promise.all([told(diskCounters(domain)), told(nodeStats(domain))]) : []
  const records: TypedParams[] = []
  for (const disk of domain.def.devices.disks) {
    const images = [disk.source, ...(withBacking ? imagesBelow(disk) : [])]
    for (const image of images) {
      const i = records.length
      const path = isLocalStorage(image) ? image.path : undefined
      const entry = image === disk.source ? stats?.get(disk) : undefined
      records.push({
        [`block.${i}.name`]: typed.string(disk.target?.dev ?? ''),
        ...(path && { [`block.${i}.path`]: typed.string(path) }),
        ...(image.index !== undefined && { [`block.${i}.backingIndex`]: typed.uint(image.index) }),
        ...(entry && counters(i, entry)),
        ...named(i, Object.entries(entry?.latency ?? {})),
        ...sizes(i, (nodes && sizesByNodes(domain, image, nodes)) ?? imageSizes(image)),
        ...named(
          i,
          limitsOf(image, nodes).map(([name, limit]) => [`limits.${name}`, typed.ullong(limit)])
        )
      })
    }
  }
  return Object.assign({ 'block.count': typed.uint(records.length) }, ...records)
}

/** What a disk's image stands on, and then the copy that is being made of it. */
const imagesBelow = ({ source, mirror }: DiskDef): StorageSource[] => [
  ...storageChain(source).slice(1),
  ...(mirror?.job === 'copy' ? [mirror.source] : [])
]

const counters = (disk: number, entry: DiskCounters): TypedParams => ({
  [`block.${disk}.rd.reqs`]: typed.ullong(entry.rdOperations),
  [`block.${disk}.rd.bytes`]: typed.ullong(entry.rdBytes),
  [`block.${disk}.rd.times`]: typed.ullong(entry.rdTimeNs),
  [`block.${disk}.wr.reqs`]: typed.ullong(entry.wrOperations),
  [`block.${disk}.wr.bytes`]: typed.ullong(entry.wrBytes),
  [`block.${disk}.wr.times`]: typed.ullong(entry.wrTimeNs),
  [`block.${disk}.fl.reqs`]: typed.ullong(entry.flushOperations),
  [`block.${disk}.fl.times`]: typed.ullong(entry.flushTimeNs)
})

/** What the enabled performance counters have counted. */
async function perfGroup({ run }: QemuDomain): Promise<TypedParams> {
  const out: TypedParams = {}
  for (const event of PERF_EVENTS) {
    const value = await run?.counters?.read(event)
    if (value !== undefined) out[`perf.${event}`] = typed.ullong(value)
  }
  return out
}

interface QmpIothread {
  /** iothreadN, as we name them; others are the user's own */
  id: string
  'poll-max-ns'?: number
  'poll-grow'?: number | bigint
  'poll-shrink'?: number | bigint
  'poll-weight'?: number
}

/** A factor of polling times: an unsigned int as long as it fits into one. */
const factor = (value: number | bigint) => (value > UINT_MAX ? typed.ullong(BigInt(value)) : typed.uint(Number(value)))

async function iothreadGroup(domain: QemuDomain): Promise<TypedParams> {
  const list = await query<QmpIothread[]>(domain, 'query-iothreads')
  const out: TypedParams = {}
  if (!list || list.length === 0) return out
  out['iothread.count'] = typed.uint(list.length)
  for (const one of list) {
    const id = /^iothread(\d+)$/.exec(one.id)?.[1]
    const { 'poll-max-ns': max, 'poll-grow': grow, 'poll-shrink': shrink, 'poll-weight': weight } = one
    if (id === undefined || max === undefined || grow === undefined || shrink === undefined) continue
    out[`iothread.${id}.poll-max-ns`] = typed.ullong(BigInt(max))
    out[`iothread.${id}.poll-grow`] = factor(grow)
    out[`iothread.${id}.poll-shrink`] = factor(shrink)
    if (weight !== undefined) out[`iothread.${id}.poll-weight`] = typed.uint(weight)
  }
  return out
}

/** virDomainDirtyRateStatus */
const DIRTY_RATE_STATUS = ['unstarted', 'measuring', 'measured']

interface QmpDirtyRate {
  status: string
  'start-time': number
  'calc-time': number
  mode?: string
  'dirty-rate'?: number
  'vcpu-dirty-rate'?: { id: number; 'dirty-rate': number }[]
}

async function dirtyRateGroup(domain: QemuDomain): Promise<TypedParams> {
  const info = await query<QmpDirtyRate>(domain, 'query-dirty-rate')
  if (!info) return {}
  const mode = info.mode ?? 'page-sampling'
  const out: TypedParams = {
    'dirtyrate.calc_status': typed.int(DIRTY_RATE_STATUS.indexOf(info.status)),
    'dirtyrate.calc_start_time': typed.llong(BigInt(info['start-time'])),
    'dirtyrate.calc_period': typed.int(info['calc-time']),
    'dirtyrate.calc_mode': typed.string(mode)
  }
  if (info.status !== 'measured') return out
  out['dirtyrate.megabytes_per_second'] = typed.llong(BigInt(info['dirty-rate'] ?? 0))
  for (const { id, 'dirty-rate': rate } of info['vcpu-dirty-rate'] ?? [])
    out[`dirtyrate.vcpu.${id}.megabytes_per_second`] = typed.ullong(BigInt(rate))
  return out
}

async function vmGroup(domain: QemuDomain): Promise<TypedParams> {
  const out: TypedParams = {}
  for (const [name, value] of await vmKvmStats(domain)) out[`vm.${name}`] = value
  return out
}
