// The record of one guest in bulk statistics.
import { virConnectGetAllDomainStatsFlags, virDomainStatsTypes } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { flags, openFlags, type TypedParams, type TypedValue, type WireValue } from '../../../conf/wire.ts'
import type { statsRecord } from '../../connection.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { STATS_GROUPS, type StatsGroup } from './groups.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Arguments and result of the bulk statistics calls. */
export const statsGroups = openFlags(virDomainStatsTypes)

export const statsFlags = flags(virConnectGetAllDomainStatsFlags)

/**
 * Refuses unknown groups if the flags insist (qemuDomainGetStatsCheckSupport).
 * @throws VIR_ERR_ARGUMENT_UNSUPPORTED
 */
export function checkGroups(wanted: number, flags: number): void {
  const known = Object.values(virDomainStatsTypes).reduce((all, bit) => all | bit, 0)
  const unknown = (wanted & ~known) >>> 0
  if (unknown === 0 || (flags & virConnectGetAllDomainStatsFlags.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS) === 0)
    return
  const what = `Stats types bits 0x${unknown.toString(16)} are not supported by this daemon or QEMU`
  throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', what)
}

/** Ranges of integers by type. */
const RANGES = {
  int: [-(2 ** 31), 2 ** 31 - 1],
  uint: [0, 2 ** 32 - 1],
  llong: [-(2n ** 63n), 2n ** 63n - 1n],
  ullong: [0n, 2n ** 64n - 1n]
} as const

/** True for a value clients can be told; QEMU may have said anything. */
function isTold({ type, value }: TypedValue): boolean {
  if (type === 'string') return typeof value === 'string'
  if (type === 'boolean' || type === 'double') return true
  const [min, max] = RANGES[type]
  return (typeof value === 'bigint' || Number.isInteger(value)) && value >= min && value <= max
}

/** One group; of an answer of QEMU's that makes no sense it has nothing. */
async function valuesOf(group: StatsGroup, domain: QemuDomain, flags: number): Promise<[string, TypedValue][]> {
  try {
    return Object.entries(await group(domain, flags)).filter(([, value]) => isTold(value))
  } catch (error) {
    domain.log.warn({ err: error }, 'statistics are left out')
    return []
  }
}

/**
 * The record of one guest; `wanted` 0 asks for all groups.
 * @param flags virConnectGetAllDomainStatsFlags; those that choose guests mean nothing here
 */
export async function recordOf(domain: QemuDomain, wanted: number, flags = 0): Promise<WireValue<typeof statsRecord>> {
  const groups = STATS_GROUPS.filter(([bit]) => wanted === 0 || (wanted & bit) !== 0)
  // their questions to QEMU are under way together
  const values = await Promise.all(groups.map(([, group]) => valuesOf(group, domain, flags)))
  const params: TypedParams = Object.fromEntries(values.flat())
  return { dom: { name: domain.name, uuid: domain.uuid, id: domain.id }, params }
}
