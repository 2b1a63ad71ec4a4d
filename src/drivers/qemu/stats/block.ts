// Statistics of disks: counters of reads and writes, sizes of images.
import { statSync } from 'node:fs'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { type StorageSource, storagePath } from '../../../conf/storage/source.ts'
import { capacityOf, readHeader } from '../block/image-header.ts'
import { storageIds } from '../block/node-names.ts'
import { effectiveNode } from '../block/nodes.ts'
import { diskSourcePath } from '../device/disk/lookup.ts'
import type { QemuDomain } from '../domain/domain.ts'
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
  stats: Record<string, number | bigint>
  parent?: { stats: Record<string, number | bigint> }
}

export interface QmpBlock {
  qdev?: string
  'io-status'?: string
  inserted?: { image: { 'virtual-size': number | bigint; 'actual-size'?: number | bigint } }
}

/** Counters of all disks with a medium. @throws VIR_ERR_OPERATION_TIMEOUT when QEMU does not answer */
export async function diskCounters(domain: QemuDomain): Promise<Map<DiskDef, DiskCounters>> {
  const list = await domain.qmp.execute<QmpBlockStats[]>('query-blockstats', undefined, { timeoutMs: QUERY_MS })
  const out = new Map<DiskDef, DiskCounters>()
  for (const disk of domain.def.devices.disks) {
    const entry = list.find(({ qdev }) => disk.alias !== undefined && qdev !== undefined && isDevice(qdev, disk.alias))
    if (entry) out.set(disk, countersIn(entry))
  }
  return out
}

/** What QEMU says of a block node, in bytes; `highest` is the end of what has been written. */
interface NodeStats {
  highest?: bigint | undefined
  capacity?: bigint | undefined
  physical?: bigint | undefined
  threshold?: bigint | undefined
}

interface QmpNode {
  'node-name'?: string
  write_threshold?: number | bigint
  image?: { 'virtual-size'?: number | bigint; 'actual-size'?: number | bigint }
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
    out.set(name, { capacity, physical: bytesIn(image?.['actual-size']) ?? capacity, threshold: bytesIn(threshold) })
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

const countersIn = ({ stats }: Pick<QmpBlockStats, 'stats'>): DiskCounters => ({
  rdOperations: BigInt(stats.rd_operations ?? 0),
  rdBytes: BigInt(stats.rd_bytes ?? 0),
  rdTimeNs: BigInt(stats.rd_total_time_ns ?? 0),
  wrOperations: BigInt(stats.wr_operations ?? 0),
  wrBytes: BigInt(stats.wr_bytes ?? 0),
  wrTimeNs: BigInt(stats.wr_total_time_ns ?? 0),
  flushOperations: BigInt(stats.flush_operations ?? 0),
  flushTimeNs: BigInt(stats.flush_total_time_ns ?? 0)
})

function diskStats(disk: DiskDef, { stats, parent }: QmpBlockStats, block: QmpBlock | undefined): DiskStats {
  const image = block?.inserted?.image
  const file = fileSizes(diskSourcePath(disk))
  const highest = parent?.stats.wr_highest_offset
  return {
    ...countersIn({ stats }),
    capacity: image && BigInt(image['virtual-size']),
    allocation: file?.allocation ?? (highest === undefined ? undefined : BigInt(highest)),
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
