// Connection-level calls that tell of the host: CPUs, memory, pages. Read from the kernel at every call.

import { arch } from 'node:os'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import {
  array,
  flags,
  flagsIn,
  int,
  struct,
  type TypedParams,
  text,
  typed,
  typedParams,
  uhyper,
  uint
} from '../../../conf/wire.ts'
import {
  cellPages,
  cellRange,
  hostCells,
  hostCpus,
  hostTopology,
  memoryKiB,
  noPages,
  readText
} from '../../../host/topology.ts'
import type { Connect } from '../../connection.ts'
import { methodFor } from '../../method.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failHost = errorsFrom('VIR_FROM_NONE')
const badArgument = argumentErrorsFrom('VIR_FROM_NONE')
const method = methodFor<Connect>()

const NS_PER_TICK = 10_000_000n
export const KSM = '/sys/kernel/mm/ksm'
/** all CPUs, all cells (VIR_NODE_CPU_STATS_ALL_CPUS, VIR_NODE_MEMORY_STATS_ALL_CELLS) */
const ALL = -1

const stat = struct({ field: text(), value: uhyper() })
const reads = { since: '0.0.1', on: 'connect', acl: 'connect:read' } as const

/** KSM's settings and counters: libvirt's name, the kernel's file, whether it may be set. */
export const KSM_PARAMETERS = [
  { name: 'shm_pages_to_scan', file: 'pages_to_scan', type: 'uint', settable: true },
  { name: 'shm_sleep_millisecs', file: 'sleep_millisecs', type: 'uint', settable: true },
  { name: 'shm_pages_shared', file: 'pages_shared', type: 'ullong', settable: false },
  { name: 'shm_pages_sharing', file: 'pages_sharing', type: 'ullong', settable: false },
  { name: 'shm_pages_unshared', file: 'pages_unshared', type: 'ullong', settable: false },
  { name: 'shm_pages_volatile', file: 'pages_volatile', type: 'ullong', settable: false },
  { name: 'shm_full_scans', file: 'full_scans', type: 'ullong', settable: false },
  { name: 'shm_merge_across_nodes', file: 'merge_across_nodes', type: 'uint', settable: true }
] as const

function knownCells(start: number, count: number): number[] {
  const cells = hostCells()
  const last = cells.at(-1)!
  if (start < 0 || start > last)
    throw failHost('VIR_ERR_INTERNAL_ERROR', `start cell ${start} out of range (0-${last})`)
  return cells.filter(cell => cell >= start && cell < start + count)
}

function cpuStats(cpu: number): { field: string; value: bigint }[] {
  const line = readText('/proc/stat')
    ?.split('\n')
    .find(one => one.startsWith(cpu === ALL ? 'cpu ' : `cpu${cpu} `))
  if (line === undefined) throw badArgument('Invalid cpuNum in virHostCPUGetStatsLinux')
  const [user = 0n, nice = 0n, system = 0n, idle = 0n, iowait = 0n, irq = 0n, softirq = 0n] = line
    .split(/\s+/)
    .slice(1)
    .map(ticks => BigInt(ticks) * NS_PER_TICK)
  return [
    { field: 'kernel', value: system + irq + softirq },
    { field: 'user', value: user + nice },
    { field: 'idle', value: idle },
    { field: 'iowait', value: iowait }
  ]
}

function memoryStats(cell: number): { field: string; value: bigint }[] {
  const last = hostCells().at(-1)!
  if (cell !== ALL && (cell < 0 || cell > last)) {
    throw badArgument(`cellNum in virHostMemGetStats must be less than or equal to ${last}`)
  }
  const { MemTotal = 0, MemFree = 0, Buffers = 0, Cached = 0 } = memoryKiB(cell === ALL ? undefined : cell)
  const out = [
    { field: 'total', value: BigInt(MemTotal) },
    { field: 'free', value: BigInt(MemFree) }
  ]
  if (cell !== ALL) return out
  return [...out, { field: 'buffers', value: BigInt(Buffers) }, { field: 'cached', value: BigInt(Cached) }]
}

const freeBytes = (cell: number) => BigInt(memoryKiB(cell).MemFree ?? 0) * 1024n

export const node = {
  virNodeGetInfo: method({
    ...reads,
    since: '0.1.0',
    args: {},
    ret: {
      model: text('architecture'),
      memory: uhyper('KiB'),
      cpus: int(),
      mhz: int(),
      nodes: int('NUMA cells'),
      sockets: int('per cell'),
      cores: int('per socket'),
      threads: int('per core')
    },
    run() {
      const memory = hostCells().reduce((sum, cell) => sum + (memoryKiB(cell).MemTotal ?? 0), 0)
      const mhz = /^cpu MHz\s*:\s*(\d+)/m.exec(readText('/proc/cpuinfo') ?? '')?.[1]
      return {
        model: arch() === 'arm64' ? 'aarch64' : 'x86_64',
        memory: BigInt(memory),
        cpus: hostCpus().online.length,
        mhz: Number(mhz ?? 0),
        ...hostTopology()
      }
    }
  }),

  /** The CPUs that are online, one number per CPU present, and their count. */
  virNodeGetCPUMap: method({
    ...reads,
    since: '1.0.0',
    args: { flags: flagsIn({ function: 'virHostCPUGetMap', domain: 'VIR_FROM_NONE' }) },
    ret: { cpumap: array(int('1: online'), 16384), online: uint() },
    run() {
      const { present, online } = hostCpus()
      const cpumap = Array.from({ length: present }, (_, id) => (online.includes(id) ? 1 : 0))
      return { cpumap, online: online.length }
    }
  }),

  /** CPU times of the host in ns, of one CPU or with -1 of all. */
  virNodeGetCPUStats: method({
    ...reads,
    since: '0.9.3',
    args: { cpuNum: int(), flags: flagsIn({ function: 'virHostCPUGetStats', domain: 'VIR_FROM_NONE' }) },
    ret: { params: array(stat, 16) },
    run: (_host, { cpuNum }) => ({ params: cpuStats(cpuNum) })
  }),

  /** Memory of the host in KiB, of one NUMA cell or with -1 of all. */
  virNodeGetMemoryStats: method({
    ...reads,
    since: '0.9.3',
    args: { cellNum: int(), flags: flagsIn({ function: 'virHostMemGetStats', domain: 'VIR_FROM_NONE' }) },
    ret: { params: array(stat, 16) },
    run: (_host, { cellNum }) => ({ params: memoryStats(cellNum) })
  }),

  virNodeGetFreeMemory: method({
    ...reads,
    since: '0.3.3',
    args: {},
    ret: { freeMem: uhyper('bytes') },
    run: () => ({ freeMem: hostCells().reduce((sum, cell) => sum + freeBytes(cell), 0n) })
  }),

  virNodeGetCellsFreeMemory: method({
    ...reads,
    since: '0.3.3',
    args: { startCell: int(), maxcells: int() },
    ret: { cells: array(uhyper('bytes'), 1024) },
    run: (_host, { startCell, maxcells }) => ({ cells: knownCells(startCell, maxcells).map(freeBytes) })
  }),

  /** Free pages per cell, then per page size as asked. */
  virNodeGetFreePages: method({
    ...reads,
    since: '1.2.6',
    args: { pages: array(uint('KiB'), 1024), startCell: int(), cellCount: uint(), flags: flags() },
    ret: { counts: array(uhyper(), 1024) },
    run(_host, { pages, startCell, cellCount }) {
      const counts = cellRange(startCell, cellCount).flatMap(cell => {
        const known = cellPages(cell)
        return pages.map(size => {
          const found = known.find(({ sizeKiB }) => sizeKiB === size)
          if (!found) throw failHost('VIR_ERR_OPERATION_FAILED', noPages(size, cell))
          return BigInt(found.free)
        })
      })
      return { counts }
    }
  }),

  /** KSM's settings and counters, those that this kernel has. */
  virNodeGetMemoryParameters: method({
    ...reads,
    since: '0.10.2',
    args: { flags: flagsIn({ function: 'virHostMemGetParameters', domain: 'VIR_FROM_NONE' }) },
    ret: { params: typedParams },
    run() {
      const params: TypedParams = {}
      for (const { name, file, type } of KSM_PARAMETERS) {
        const value = readText(`${KSM}/${file}`)
        if (value !== undefined)
          params[name] = type === 'uint' ? typed.uint(Number(value)) : typed.ullong(BigInt(value))
      }
      return { params }
    }
  }),

  virNodeGetSEVInfo: method({
    ...reads,
    since: '4.5.0',
    args: { flags: flags() },
    ret: { params: typedParams },
    run() {
      throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'QEMU does not support SEV guest')
    }
  })
}
