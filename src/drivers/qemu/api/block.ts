// Disks of the guest: sizes and I/O statistics.
import { accessSync, constants, statSync } from 'node:fs'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { virDomainDiskErrorCode } from '../../../conf/enums.ts'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { isLocalStorage, isStorageEmpty, storagePath } from '../../../conf/storage/source.ts'
import { array, flags, hyper, int, struct, text, typed, typedParams, uhyper } from '../../../conf/wire.ts'
import { methodFor, noFlags } from '../../method.ts'
import { capacityOf, readHeader } from '../block/image-header.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { QUERY_MS } from '../stats/query.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

/** Counters of one disk since QEMU started; times in ns, sizes in bytes. */
export interface DiskStats {
  rdOperations: bigint
  rdBytes: bigint
  rdTimeNs: bigint
  wrOperations: bigint
  wrBytes: bigint
  wrTimeNs: bigint
  flushOperations: bigint
  flushTimeNs: bigint
  capacity?: bigint
  allocation?: bigint
  physical?: bigint
}

interface QmpBlockStats {
  qdev?: string
  stats: Record<string, number | bigint>
  parent?: { stats: Record<string, number | bigint> }
}

interface QmpBlock {
  qdev?: string
  'io-status'?: string
  inserted?: { image: { 'virtual-size': number | bigint; 'actual-size'?: number | bigint } }
}

const { VIR_DOMAIN_DISK_ERROR_UNSPEC, VIR_DOMAIN_DISK_ERROR_NO_SPACE } = virDomainDiskErrorCode
/** QEMU's io-status, but for ok. */
const IO_STATUS: Record<string, number> = {
  failed: VIR_DOMAIN_DISK_ERROR_UNSPEC,
  nospace: VIR_DOMAIN_DISK_ERROR_NO_SPACE
}

/** The host path of a disk's image, if it has one. */
export function diskSourcePath({ source }: DiskDef): string | undefined {
  return isLocalStorage(source) ? source.path : undefined
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

/** QEMU names a device by its QOM path or its id; virtio ones by a child of it. */
function isDevice(qdev: string, alias: string): boolean {
  return qdev === alias || qdev.replace(/^\/machine\/peripheral\//, '').split('/')[0] === alias
}

function diskStats(disk: DiskDef, { stats, parent }: QmpBlockStats, block: QmpBlock | undefined): DiskStats {
  const image = block?.inserted?.image
  const file = fileSizes(diskSourcePath(disk))
  const highest = parent?.stats.wr_highest_offset
  return {
    rdOperations: BigInt(stats.rd_operations ?? 0),
    rdBytes: BigInt(stats.rd_bytes ?? 0),
    rdTimeNs: BigInt(stats.rd_total_time_ns ?? 0),
    wrOperations: BigInt(stats.wr_operations ?? 0),
    wrBytes: BigInt(stats.wr_bytes ?? 0),
    wrTimeNs: BigInt(stats.wr_total_time_ns ?? 0),
    flushOperations: BigInt(stats.flush_operations ?? 0),
    flushTimeNs: BigInt(stats.flush_total_time_ns ?? 0),
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

/** What an image is by its file and header, for a guest that does not run (qemuStorageLimitsRefresh). */
export function imageSizes({ source }: DiskDef): (ImageSizes & { capacity: bigint }) | undefined {
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

/** @throws VIR_ERR_SYSTEM_ERROR for a file that cannot be opened */
function openable(path: string): void {
  try {
    accessSync(path, constants.R_OK)
  } catch (error) {
    throw systemError('VIR_FROM_QEMU', `Failed to open file '${path}'`, error)
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

/** The disk a user means by its target name or source path. */
function lookupDisk({ def }: QemuDomain, path: string): DiskDef | undefined {
  return def.devices.disks.find(one => one.target?.dev === path || diskSourcePath(one) === path)
}

/** The same, as it must be there. @throws VIR_ERR_INVALID_ARG */
export function findDisk(domain: QemuDomain, path: string): DiskDef {
  const disk = lookupDisk(domain, path)
  if (!disk) throw fail('VIR_ERR_INVALID_ARG', `invalid path: ${path}`)
  return disk
}

/** Statistics of one disk, or with an empty path the sum over all. */
async function statsOf(domain: QemuDomain, path: string): Promise<DiskStats> {
  const wanted = path === '' ? undefined : findDisk(domain, path)
  const all = await blockStats(domain)
  if (wanted) {
    const stats = all.get(wanted)
    if (!stats) throw fail('VIR_ERR_INTERNAL_ERROR', `cannot find statistics for device '${wanted.alias ?? path}'`)
    return stats
  }
  const sum = (key: keyof DiskStats) => [...all.values()].reduce((total, one) => total + (one[key] ?? 0n), 0n)
  return {
    rdOperations: sum('rdOperations'),
    rdBytes: sum('rdBytes'),
    rdTimeNs: sum('rdTimeNs'),
    wrOperations: sum('wrOperations'),
    wrBytes: sum('wrBytes'),
    wrTimeNs: sum('wrTimeNs'),
    flushOperations: sum('flushOperations'),
    flushTimeNs: sum('flushTimeNs')
  }
}

export const block = {
  /** Requests and bytes of a disk; `errs` is -1, QEMU does not count them. */
  virDomainBlockStats: method({
    since: '0.3.2',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: { path: text() },
    ret: { rd_req: hyper(), rd_bytes: hyper('bytes'), wr_req: hyper(), wr_bytes: hyper('bytes'), errs: hyper() },
    async run(domain, { path }) {
      const stats = await statsOf(domain, path)
      return {
        rd_req: stats.rdOperations,
        rd_bytes: stats.rdBytes,
        wr_req: stats.wrOperations,
        wr_bytes: stats.wrBytes,
        errs: -1n
      }
    }
  }),

  virDomainBlockStatsFlags: method({
    since: '0.9.5',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: { path: text(), flags: flags() },
    ret: { params: typedParams },
    async run(domain, { path }) {
      const stats = await statsOf(domain, path)
      return {
        params: {
          wr_bytes: typed.llong(stats.wrBytes),
          wr_operations: typed.llong(stats.wrOperations),
          rd_bytes: typed.llong(stats.rdBytes),
          rd_operations: typed.llong(stats.rdOperations),
          flush_operations: typed.llong(stats.flushOperations),
          wr_total_times: typed.llong(stats.wrTimeNs),
          rd_total_times: typed.llong(stats.rdTimeNs),
          flush_total_times: typed.llong(stats.flushTimeNs)
        }
      }
    }
  }),

  /** Sizes of a disk in bytes: what the guest sees, what is used, what the image takes. */
  virDomainGetBlockInfo: method({
    since: '0.8.1',
    on: 'domain',
    acl: 'domain:read',
    args: { disk: text(), flags: flags() },
    ret: { allocation: uhyper('bytes'), capacity: uhyper('bytes'), physical: uhyper('bytes') },
    async run(domain, { disk: path }) {
      const disk = lookupDisk(domain, path)
      if (!disk) throw fail('VIR_ERR_INVALID_ARG', `invalid path ${path} not assigned to domain`)
      if (isStorageEmpty(disk.source))
        throw fail('VIR_ERR_INVALID_ARG', `disk '${path}' does not currently have a source assigned`)
      const stats = domain.isActive ? (await blockStats(domain)).get(disk) : undefined
      const isKnown = stats?.physical !== undefined && stats.capacity !== undefined
      const file = isKnown ? undefined : imageSizes(disk)
      const local = storagePath(disk.source)
      if (!isKnown && !file && local !== undefined) openable(local)
      const physical = stats?.physical ?? file?.physical ?? 0n
      return {
        allocation: stats?.allocation ?? file?.allocation ?? 0n,
        capacity: stats?.capacity ?? file?.capacity ?? physical,
        physical
      }
    }
  }),

  /** Disks whose I/O has failed and stopped the guest, with virDomainDiskErrorCode. Source: qemuDomainGetDiskErrors. */
  virDomainGetDiskErrors: method({
    since: '0.9.10',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: noFlags,
    ret: { errors: array(struct({ disk: text(), error: int('virDomainDiskErrorCode') }), 256) },
    async run(domain) {
      const blocks = await domain.qmp.execute<QmpBlock[]>('query-block', undefined, { timeoutMs: QUERY_MS })
      const errors = domain.def.devices.disks.flatMap(disk => {
        const block = blocks.find(({ qdev }) => disk.alias && qdev && isDevice(qdev, disk.alias))
        const error = IO_STATUS[block?.['io-status'] ?? 'ok']
        return error ? [{ disk: disk.target?.dev ?? '', error }] : []
      })
      return { errors }
    }
  })
}
