// Statistics of disks: counters of reads and writes, sizes of images.
import { statSync } from 'node:fs'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { type StorageSource, storagePath } from '../../../conf/storage/source.ts'
import { capacityOf, readHeader } from '../block/image-header.ts'
import { storageIds } from '../block/node-names.ts'
import { effectiveNode } from '../block/nodes.ts'
import { diskSourcePath } from '../device/disk/lookup.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { type Latency, latencyIn } from './latency.ts'
import { QUERY_MS } from './query.ts'

/** Counters of one disk since QEMU started; times in ns, sizes in bytes. */
export interface DiskCounters {
  rdOperations: bigint
  rdBytes: bigint
  rdTimeNs: bigint
  wrOperations: bigint
  wrBytes: bigint
  wrTimeNs: bigint
  flushOperations: bigint
  flushTimeNs: bigint
}

/** The same, with sizes in bytes. */
export interface DiskStats extends DiskCounters {
  capacity?: bigint
  allocation?: bigint
  physical?: bigint
}

interface QmpBlockStats {
  qdev?: string
  'node-name'?: string
  /** counters, and beside them lists and histograms */
  stats: Record<string, unknown>
  parent?: { stats: Record<string, unknown> }
}

export interface QmpBlock {
  qdev?: string
  'io-status'?: string
  inserted?: { image: { 'virtual-size': number | bigint; 'actual-size'?: number | bigint } }
}

/** Counters of all disks with a medium. @throws VIR_ERR_OPERATION_TIMEOUT when QEMU does not answer */
export async function diskCounters(domain: QemuDomain): Promise<Map<DiskDef, DiskCounters & { latency: Latency }>> {
  const list = await domain.qmp.execute<QmpBlockStats[]>('query-blockstats', undefined, { timeoutMs: QUERY_MS })
  const out = new Map<DiskDef, DiskCounters & { latency: Latency }>()
  for (const disk of domain.def.devices.disks) {
    const entry = list.find(({ qdev }) => disk.alias !== undefined && qdev !== undefined && isDevice(qdev, disk.alias))
    if (entry) out.set(disk, { ...countersIn(entry), latency: latencyIn(entry.stats) })
  }
  return out
}

/** What QEMU says of a block node, in bytes; `highest` is the end of what has been written. */
interface NodeStats {
  highest?: bigint | undefined
  capacity?: bigint | undefined
  physical?: bigint | undefined
  threshold?: bigint | undefined
  /** sizes and alignments of requests that its driver can do, in QEMU's words (BlockLimitsInfo) */
  limits?: Record<string, unknown> | undefined
}

interface QmpNode {
  'node-name'?: string
  write_threshold?: number | bigint
  image?: {
    'virtual-size'?: number | bigint
    'actual-size'?: number | bigint
    limits?: Record<string, unknown>
  }
}

/** Limits by libvirt's names, in its order. */
const LIMITS: Record<string, string> = {
  request_alignment: 'request-alignment',
  discard_max: 'max-discard',
  discard_alignment: 'discard-alignment',
  write_zeroes_max: 'max-write-zeroes',
  write_zeroes_alignment: 'write-zeroes-alignment',
  transfer_optimal: 'opt-transfer',
  transfer_max: 'max-transfer',
  transfer_hw_max: 'max-hw-transfer',
  iov_max: 'max-iov',
  iov_hw_max: 'max-hw-iov',
  memory_alignment_minimal: 'min-mem-alignment',
  memory_alignment_optimal: 'opt-mem-alignment'
}

/** Limits of an image's storage, by libvirt's names; none of a QEMU that does not tell (before 10.2). */
export function limitsOf(image: StorageSource, nodes: Map<string, NodeStats> | undefined): [string, bigint][] {
  const said = image.index === undefined ? undefined : nodes?.get(storageIds(image).storageNode)?.limits
  if (!said) return []
  return Object.entries(LIMITS).flatMap(([name, qemuName]) => {
    const limit = bytesIn(said[qemuName])
    return limit === undefined ? [] : [[name, limit]]
  })
}

/** All block nodes by their names. @throws VIR_ERR_OPERATION_TIMEOUT when QEMU does not answer */
export async function nodeStats(domain: QemuDomain): Promise<Map<string, NodeStats>> {
  const options = { timeoutMs: QUERY_MS }
  const [stats, nodes] = await Promise.all([
    domain.qmp.execute<QmpBlockStats[]>('query-blockstats', { 'query-nodes': true }, options),
    domain.qmp.execute<QmpNode[]>('query-named-block-nodes', { flat: true }, options)
  ])
  const out = new Map<string, NodeStats>()
  for (const { 'node-name': name, image, write_threshold: threshold } of nodes) {
    if (name === undefined) continue
    const capacity = bytesIn(image?.['virtual-size'])
    const physical = bytesIn(image?.['actual-size']) ?? capacity
    out.set(name, { capacity, physical, threshold: bytesIn(threshold), limits: image?.limits })
  }
  for (const { 'node-name': name, stats: counted } of stats) {
    const node = name !== undefined && out.get(name)
    if (node) node.highest = bytesIn(counted?.wr_highest_offset)
  }
  return out
}

const bytesIn = (said: unknown): bigint | undefined =>
  typeof said === 'bigint' || Number.isInteger(said) ? BigInt(said as number | bigint) : undefined

/** Sizes of an image by its nodes, 0 left out but for what is written; undefined for one QEMU does not have. */
export function sizesByNodes(
  { context: { qemu } }: QemuDomain,
  image: StorageSource,
  nodes: Map<string, NodeStats>
): (Partial<ImageSizes> & { capacity?: bigint | undefined; threshold?: bigint | undefined }) | undefined {
  const node = image.index === undefined ? undefined : nodes.get(effectiveNode(image, qemu))
  if (!node) return undefined
  const { highest = 0n, capacity, physical } = node
  return {
    allocation: highest,
    capacity: capacity || undefined,
    physical: physical || fileSizes(storagePath(image))?.physical,
    threshold: nodes.get(storageIds(image).storageNode)?.threshold || undefined
  }
}

/** Statistics of all disks with a medium. @throws VIR_ERR_OPERATION_TIMEOUT when QEMU does not answer */
export async function blockStats(domain: QemuDomain): Promise<Map<DiskDef, DiskStats>> {
  const options = { timeoutMs: QUERY_MS }
  const [list, blocks] = await Promise.all([
    domain.qmp.execute<QmpBlockStats[]>('query-blockstats', undefined, options),
    domain.qmp.execute<QmpBlock[]>('query-block', undefined, options)
  ])
  const out = new Map<DiskDef, DiskStats>()
  for (const disk of domain.def.devices.disks) {
    const mine = ({ qdev }: { qdev?: string }) =>
      disk.alias !== undefined && qdev !== undefined && isDevice(qdev, disk.alias)
    const entry = list.find(mine)
    if (entry) out.set(disk, diskStats(disk, entry, blocks.find(mine)))
  }
  return out
}

/** QEMU names a device by its QOM path or its id; virtio ones by a child of it, the SCSI one behind usb-bot by its own. */
export function isDevice(qdev: string, alias: string): boolean {
  const [id] = qdev.replace(/^\/machine\/peripheral\//, '').split('/')
  return qdev === alias || id === alias || id === `${alias}-device`
}

/** @throws TypeError, RangeError for what is no count */
const count = (said: unknown): bigint => BigInt((said ?? 0) as number | bigint)

const countersIn = ({ stats }: Pick<QmpBlockStats, 'stats'>): DiskCounters => ({
  rdOperations: count(stats.rd_operations),
  rdBytes: count(stats.rd_bytes),
  rdTimeNs: count(stats.rd_total_time_ns),
  wrOperations: count(stats.wr_operations),
  wrBytes: count(stats.wr_bytes),
  wrTimeNs: count(stats.wr_total_time_ns),
  flushOperations: count(stats.flush_operations),
  flushTimeNs: count(stats.flush_total_time_ns)
})

function diskStats(disk: DiskDef, { stats, parent }: QmpBlockStats, block: QmpBlock | undefined): DiskStats {
  const image = block?.inserted?.image
  const file = fileSizes(diskSourcePath(disk))
  const highest = parent?.stats.wr_highest_offset
  return {
    ...countersIn({ stats }),
    capacity: image && BigInt(image['virtual-size']),
    allocation: file?.allocation ?? bytesIn(highest),
    physical: file?.physical
  }
}

/** Sizes of an image, in bytes. */
interface ImageSizes {
  allocation: bigint
  physical: bigint
}

/** Sizes of an image by its file and header, for a guest that does not run (qemuStorageLimitsRefresh). */
export function imageSizes(source: StorageSource): (ImageSizes & { capacity: bigint }) | undefined {
  const path = storagePath(source)
  const sizes = fileSizes(path)
  if (!sizes || path === undefined) return undefined
  const { format = 'raw' } = source
  try {
    const capacity = format === 'raw' ? undefined : capacityOf(readHeader(path), format)
    return { ...sizes, capacity: capacity ?? sizes.physical }
  } catch {
    return undefined
  }
}

function fileSizes(path: string | undefined): ImageSizes | undefined {
  try {
    const { size, blocks } = statSync(path!, { bigint: true })
    return { allocation: blocks * 512n, physical: size }
  } catch {
    return undefined
  }
}
