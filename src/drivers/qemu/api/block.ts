// Disks of the guest: sizes and I/O statistics.
import { accessSync, constants } from 'node:fs'
import { virDomainDiskErrorCode } from '../../../conf/enums.ts'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { isStorageEmpty, storagePath } from '../../../conf/storage/source.ts'
import { array, flags, hyper, int, struct, text, typed, typedParams, uhyper } from '../../../conf/wire.ts'
import { methodFor, noFlags } from '../../method.ts'
import { findDisk, lookupDisk } from '../device/disk/lookup.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { blockStats, type DiskStats, imageSizes, isDevice, type QmpBlock } from '../stats/block.ts'
import { QUERY_MS } from '../stats/query.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_DISK_ERROR_UNSPEC, VIR_DOMAIN_DISK_ERROR_NO_SPACE } = virDomainDiskErrorCode
/** QEMU's io-status, but for ok. */
const IO_STATUS: Record<string, number> = {
  failed: VIR_DOMAIN_DISK_ERROR_UNSPEC,
  nospace: VIR_DOMAIN_DISK_ERROR_NO_SPACE
}

/** @throws VIR_ERR_SYSTEM_ERROR for a file that cannot be opened */
function openable(path: string): void {
  try {
    accessSync(path, constants.R_OK)
  } catch (error) {
    throw systemError('VIR_FROM_QEMU', `Failed to open file '${path}'`, error)
  }
}

/** Statistics of one disk, or with an empty path the sum over all. */
async function statsOf(domain: QemuDomain, path: string): Promise<DiskStats> {
  const wanted = path === '' ? undefined : findDisk(domain.def, path)
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
      const disk = lookupDisk(domain.def, path)
      if (!disk) throw fail('VIR_ERR_INVALID_ARG', `invalid path ${path} not assigned to domain`)
      if (isStorageEmpty(disk.source))
        throw fail('VIR_ERR_INVALID_ARG', `disk '${path}' does not currently have a source assigned`)
      const stats = domain.isActive ? (await blockStats(domain)).get(disk) : undefined
      const isKnown = stats?.physical !== undefined && stats.capacity !== undefined
      const file = isKnown ? undefined : imageSizes(disk.source)
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
