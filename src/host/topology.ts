// The host's CPUs, NUMA cells, memory and pages as the kernel shows them below /sys and /proc.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorsFrom } from '../conf/error.ts'
import { hostFile } from './root.ts'

const fail = errorsFrom('VIR_FROM_NONE')

const SYSTEM = '/sys/devices/system'

/** A file's text, trimmed; undefined when there is none. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(hostFile(path), 'utf8').trim()
  } catch {
    return undefined
  }
}

function numbered(dir: string, prefix: string, suffix = ''): number[] {
  try {
    const pattern = new RegExp(`^${prefix}(\\d+)${suffix}$`)
    return readdirSync(hostFile(dir))
      .flatMap(name => pattern.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b)
  } catch {
    return []
  }
}

/** Numbers of a kernel list such as `0-3,8`. */
export function readList(text: string): number[] {
  return text
    .split(',')
    .filter(Boolean)
    .flatMap(range => {
      const [first = 0, last = first] = range.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, i) => first + i)
    })
}

export interface HostCpu {
  id: number
  socket: number
  die: number
  /** 0 where the architecture has no clusters, as its kernel says with -1 */
  cluster: number
  core: number
  siblings: string
}

/** Every CPU the host may have, and those that are online. */
export function hostCpus(): { present: number; online: number[] } {
  const present = readList(readText(`${SYSTEM}/cpu/present`) ?? '0')
  const online = readList(readText(`${SYSTEM}/cpu/online`) ?? '0')
  return { present: Math.max(-1, ...present) + 1, online }
}

/** The place of a CPU: socket, die, core and the threads beside it. */
export function cpuPlace(id: number): HostCpu {
  const topology = (name: string) => readText(`${SYSTEM}/cpu/cpu${id}/topology/${name}`)
  return {
    id,
    socket: Number(topology('physical_package_id') ?? 0),
    die: Number(topology('die_id') ?? 0),
    cluster: Math.max(0, Number(topology('cluster_id') ?? 0)),
    core: Number(topology('core_id') ?? 0),
    siblings: topology('thread_siblings_list') ?? String(id)
  }
}

/** NUMA cells; a host without any is one cell. */
export function hostCells(): number[] {
  const cells = numbered(`${SYSTEM}/node`, 'node')
  return cells.length > 0 ? cells : [0]
}

/** Online CPUs of a cell. */
export function cellCpus(cell: number): number[] {
  const { online } = hostCpus()
  const list = readText(`${SYSTEM}/node/node${cell}/cpulist`)
  return list === undefined ? online : readList(list).filter(id => online.includes(id))
}

const distinct = <T>(values: T[]) => new Set(values).size
const most = (values: number[]) => Math.max(1, ...values)

/** Sockets per cell, cores per socket, threads per core; flat where they do not multiply to the CPUs there are. */
export function hostTopology(): { nodes: number; sockets: number; cores: number; threads: number } {
  const cells = hostCells().map(cell => cellCpus(cell).map(cpuPlace))
  const sockets = most(cells.map(cpus => distinct(cpus.map(({ socket }) => socket))))
  const all = cells.flat()
  const coresOf = (socket: number) =>
    distinct(all.filter(cpu => cpu.socket === socket).map(({ die, core }) => `${die}/${core}`))
  const cores = most([...new Set(all.map(({ socket }) => socket))].map(coresOf))
  const threads = most(all.map(({ siblings }) => siblings.split(/[-,]/).length))
  const { online } = hostCpus()
  if (cells.length * sockets * cores * threads === online.length)
    return { nodes: cells.length, sockets, cores, threads }
  return { nodes: 1, sockets: 1, cores: online.length, threads: 1 }
}

/** Memory counters in KiB of one cell, or of the host: MemTotal, MemFree, … */
export function memoryKiB(cell?: number): Record<string, number> {
  const text =
    cell === undefined
      ? readText('/proc/meminfo')
      : (readText(`${SYSTEM}/node/node${cell}/meminfo`)?.replace(/^Node \d+ /gm, '') ?? readText('/proc/meminfo'))
  const counters = [...(text ?? '').matchAll(/^(\w+):\s+(\d+) kB$/gm)]
  return Object.fromEntries(counters.map(([, name, value]) => [name, Number(value)]))
}

/** The kernel's page size in KiB. */
export const PAGE_KIB = 4

/** Sizes of pages the kernel has, in KiB, smallest first. */
export const pageSizesKiB = (): number[] => [PAGE_KIB, ...numbered(hugePagesDirectory(WHOLE_HOST), 'hugepages-', 'kB')]

/** Pages of one size in a cell. */
export interface Pages {
  sizeKiB: number
  total: number
  free: number
}

/** The number that stands for the whole host where calls take a NUMA cell. */
export const WHOLE_HOST = -1

/** The kernel's directory of huge page pools, of a cell or the whole host. */
export const hugePagesDirectory = (cell: number): string =>
  cell === WHOLE_HOST ? '/sys/kernel/mm/hugepages' : `${SYSTEM}/node/node${cell}/hugepages`

/**
 * The cells of a call about pages: some from one on, or with -1 for a start the whole host first.
 * @throws VIR_ERR_INTERNAL_ERROR for a start above all, VIR_ERR_OPERATION_FAILED for a cell that does not exist
 */
export function cellRange(start: number, count: number): number[] {
  const cells = hostCells()
  const last = cells.at(-1)!
  if (start > last) throw fail('VIR_ERR_INTERNAL_ERROR', `start cell ${start} out of range (0-${last})`)
  if (start < WHOLE_HOST) throw fail('VIR_ERR_OPERATION_FAILED', `NUMA node ${start} is not available`)
  return [WHOLE_HOST, ...cells].filter(cell => cell >= start && cell < start + count)
}

/** libvirt's words for a page size there is not. */
export const noPages = (sizeKiB: number, cell: number): string =>
  `page size ${sizeKiB} is not available${cell === WHOLE_HOST ? '' : ` on node ${cell}`}`

/** Pages of every size in a cell; huge pages are not counted among the normal ones. */
export function cellPages(cell: number): Pages[] {
  const dir = hugePagesDirectory(cell)
  const hugePages = numbered(dir, 'hugepages-', 'kB').map(sizeKiB => {
    const count = (file: string) => Number(readText(join(dir, `hugepages-${sizeKiB}kB`, file)) ?? 0)
    return { sizeKiB, total: count('nr_hugepages'), free: count('free_hugepages') }
  })
  const { MemTotal = 0, MemFree = 0 } = memoryKiB(cell === WHOLE_HOST ? undefined : cell)
  const inHugeKiB = hugePages.reduce((sum, { sizeKiB, total }) => sum + sizeKiB * total, 0)
  const normal = {
    sizeKiB: PAGE_KIB,
    total: Math.floor((MemTotal - inHugeKiB) / PAGE_KIB),
    free: Math.floor(MemFree / PAGE_KIB)
  }
  return [normal, ...hugePages]
}
