// Caches of the host: those its CPUs share, and those in front of a NUMA cell's memory (virCapabilitiesInitCaches).
import { readdirSync } from 'node:fs'
import { formatCache, type NumaCache } from '../conf/domain/numa-cache.ts'
import { formatInterconnects, type NumaInterconnect } from '../conf/domain/numa-interconnects.ts'
import { element, type XmlElement } from '../conf/xml.ts'
import { hostFile } from './root.ts'
import { hostCpus, readText } from './topology.ts'

const SYSTEM = '/sys/devices/system'

/** Caches below belong to one core, which is of no interest. */
const LEVEL_MIN = 2
const TYPES: Record<string, string> = { Unified: 'both', Instruction: 'code', Data: 'data' }
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']
const KERNEL_UNITS: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 }

interface Bank {
  id: number
  level: number
  type: string
  bytes: number
  cpus: string
}

function entries(directory: string, prefix: string): string[] {
  try {
    return readdirSync(hostFile(directory)).filter(name => name.startsWith(prefix))
  } catch {
    return []
  }
}

/** A size in the largest unit that holds it whole (virFormatIntPretty). */
export function prettySize(bytes: number): { size: number; unit: string } {
  let [size, unit] = [bytes, 0]
  while (size > 0 && size % 1024 === 0 && unit < UNITS.length - 1) {
    size /= 1024
    unit++
  }
  return { size, unit: UNITS[unit]! }
}

function readBank(directory: string): Bank | undefined {
  const read = (name: string) => readText(`${directory}/${name}`)
  const [id, level, type, size, cpus] = [read('id'), read('level'), read('type'), read('size'), read('shared_cpu_list')]
  if (id === undefined || level === undefined || Number(level) < LEVEL_MIN || type === undefined) return undefined
  const [, amount, suffix = ''] = /^(\d+)([KMG]?)$/.exec(size ?? '') ?? []
  if (amount === undefined || cpus === undefined) return undefined
  return {
    id: Number(id),
    level: Number(level),
    type: TYPES[type] ?? type,
    bytes: Number(amount) * KERNEL_UNITS[suffix]!,
    cpus
  }
}

/** <cache> of capabilities, undefined where the kernel tells of none. */
export function cacheBanks(): XmlElement | undefined {
  const banks = new Map<string, Bank>()
  for (const cpu of hostCpus().online) {
    const directory = `${SYSTEM}/cpu/cpu${cpu}/cache`
    for (const index of entries(directory, 'index')) {
      const bank = readBank(`${directory}/${index}`)
      if (bank) banks.set(JSON.stringify(bank), bank)
    }
  }
  if (banks.size === 0) return undefined
  const sorted = [...banks.values()].sort((a, b) => a.level - b.level || a.id - b.id)
  return element(
    'cache',
    {},
    sorted.map(({ id, level, type, bytes, cpus }) => element('bank', { id, level, type, ...prettySize(bytes), cpus }))
  )
}

const ASSOCIATIVITY = ['direct', 'full', 'none'] as const
const POLICY = ['writeback', 'writethrough', 'none'] as const

/** Caches in front of a cell's memory (virCapabilitiesGetNodeCache). */
export function memoryCaches(cell: number): XmlElement[] {
  const directory = `${SYSTEM}/node/node${cell}/memory_side_cache`
  return entries(directory, 'index')
    .map((index): NumaCache => {
      const read = (name: string) => Number(readText(`${directory}/${index}/${name}`) ?? 0)
      return {
        level: Number(index.slice('index'.length)),
        sizeKiB: Math.floor(read('size') / 1024),
        line: read('line_size'),
        associativity: ASSOCIATIVITY[read('indexing')] ?? 'none',
        policy: POLICY[read('write_policy')] ?? 'none'
      }
    })
    .sort((a, b) => a.level - b.level)
    .map(formatCache)
}

const KIB_PER_MIB = 1024n

/** Bandwidths and latencies from CPUs to cells; undefined: none known (virCapabilitiesHostNUMAInitInterconnects). */
export function interconnects(cells: readonly number[]): XmlElement | undefined {
  const links = cells.flatMap(target => {
    const directory = `${SYSTEM}/node/node${target}/access1/initiators`
    const read = (name: string) => BigInt(readText(`${directory}/${name}`) ?? 0)
    return entries(directory, 'node').flatMap((node): NumaInterconnect[] => {
      const common = { initiator: Number(node.slice('node'.length)), target, cache: 0 }
      return (['read', 'write'] as const).flatMap((access): NumaInterconnect[] => [
        { kind: 'bandwidth', ...common, access, value: read(`${access}_bandwidth`) * KIB_PER_MIB },
        { kind: 'latency', ...common, access, value: read(`${access}_latency`) }
      ])
    })
  })
  const order = ({ kind, initiator, target, access }: NumaInterconnect) =>
    [kind === 'latency' ? 0 : 1, initiator, target, access === 'read' ? 0 : 1] as const
  links.sort((a, b) => order(a).reduce((found, value, i) => found || value - order(b)[i]!, 0))
  return formatInterconnects(links)
}
