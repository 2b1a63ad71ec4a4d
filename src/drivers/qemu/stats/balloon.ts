// The balloon's statistics, as QEMU last had them from the guest.
import { virDomainMemoryStatTags } from '../../../conf/enums.ts'
import { residentKiB } from '../../../host/proc.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { countOf, QUERY_MS } from './query.ts'

const {
  VIR_DOMAIN_MEMORY_STAT_SWAP_IN,
  VIR_DOMAIN_MEMORY_STAT_SWAP_OUT,
  VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT,
  VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT,
  VIR_DOMAIN_MEMORY_STAT_UNUSED,
  VIR_DOMAIN_MEMORY_STAT_AVAILABLE,
  VIR_DOMAIN_MEMORY_STAT_USABLE,
  VIR_DOMAIN_MEMORY_STAT_DISK_CACHES,
  VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC,
  VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL
} = virDomainMemoryStatTags

interface BalloonField {
  /** name in query of guest-stats */
  qmp: string
  /** name in the balloon statistics group */
  stat: string
  tag: number
  /** divisor to libvirt's unit */
  divisor: bigint
}

/** QEMU counts in bytes, libvirt in KiB. */
export const FIELDS: BalloonField[] = [
  { qmp: 'stat-swap-in', stat: 'swap_in', tag: VIR_DOMAIN_MEMORY_STAT_SWAP_IN, divisor: 1024n },
  { qmp: 'stat-swap-out', stat: 'swap_out', tag: VIR_DOMAIN_MEMORY_STAT_SWAP_OUT, divisor: 1024n },
  { qmp: 'stat-major-faults', stat: 'major_fault', tag: VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT, divisor: 1n },
  { qmp: 'stat-minor-faults', stat: 'minor_fault', tag: VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT, divisor: 1n },
  { qmp: 'stat-free-memory', stat: 'unused', tag: VIR_DOMAIN_MEMORY_STAT_UNUSED, divisor: 1024n },
  { qmp: 'stat-total-memory', stat: 'available', tag: VIR_DOMAIN_MEMORY_STAT_AVAILABLE, divisor: 1024n },
  { qmp: 'stat-available-memory', stat: 'usable', tag: VIR_DOMAIN_MEMORY_STAT_USABLE, divisor: 1024n },
  { qmp: 'stat-disk-caches', stat: 'disk_caches', tag: VIR_DOMAIN_MEMORY_STAT_DISK_CACHES, divisor: 1024n },
  { qmp: 'stat-htlb-pgalloc', stat: 'hugetlb_pgalloc', tag: VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC, divisor: 1n },
  { qmp: 'stat-htlb-pgfail', stat: 'hugetlb_pgfail', tag: VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL, divisor: 1n }
]

const ABSENT = 2n ** 64n - 1n

export interface BalloonStats {
  /** memory QEMU has resident on the host */
  rssKiB: bigint
  /** by the balloon group's field names */
  values: Record<string, bigint>
}

/** Age up to which statistics are as good as new: QEMU asks the guest every few seconds only. */
const FRESH_MS = 100

/** Last report of the guest's balloon driver; empty without one. Callers at about the same time share one query. */
export async function balloonStats(domain: QemuDomain): Promise<BalloonStats> {
  const { running } = domain
  if (!running.balloon || performance.now() - running.balloon.atMs > FRESH_MS) {
    running.balloon = { atMs: performance.now(), values: queryBalloon(domain) }
  }
  const values = await running.balloon.values
  return { rssKiB: domain.process ? residentKiB(domain.process.pid) : 0n, values }
}

async function queryBalloon(domain: QemuDomain): Promise<Record<string, bigint>> {
  const values: Record<string, bigint> = {}
  const balloon = domain.def.devices.memballoons[0]
  if (balloon?.alias && balloon.model?.startsWith('virtio')) {
    const reply = await domain.qmp
      .execute<{ stats?: Record<string, unknown>; 'last-update'?: unknown }>(
        'qom-get',
        { path: `/machine/peripheral/${balloon.alias}`, property: 'guest-stats' },
        { timeoutMs: QUERY_MS }
      )
      .catch(() => undefined)
    for (const { qmp, stat, divisor } of FIELDS) {
      const value = countOf(reply?.stats?.[qmp])
      if (value !== undefined && value !== ABSENT) values[stat] = value / divisor
    }
    if (reply) values['last-update'] = countOf(reply['last-update']) ?? 0n
  }
  return values
}
