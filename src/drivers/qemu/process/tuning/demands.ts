// What a definition asks of the host for a running guest: looked at by each start, so that nothing is loaded for a guest
// that asks for nothing.
import type { DomainDef } from '../../../../conf/domain-def.ts'

/** Limits of the guest as a whole, on its control groups. */
export const asksForLimits = ({ blkiotune, memtune, cputune }: DomainDef): boolean =>
  blkiotune !== undefined ||
  (memtune !== undefined && (memtune.hardLimitKiB ?? memtune.softLimitKiB ?? memtune.swapHardLimitKiB) !== undefined) ||
  (cputune?.shares ?? cputune?.globalPeriod ?? cputune?.globalQuota) !== undefined

/** Settings of single threads: their CPUs, time, policy and nodes of memory. */
export function asksForThreads({ cputune, numatune }: DomainDef): boolean {
  if (numatune?.memory?.nodeset !== undefined && ['strict', 'restrictive'].includes(numatune.memory.mode)) return true
  if (!cputune) return false
  const { period, quota, emulatorPeriod, emulatorQuota, iothreadPeriod, iothreadQuota } = cputune
  if ([period, quota, emulatorPeriod, emulatorQuota, iothreadPeriod, iothreadQuota].some(Boolean)) return true
  const { vcpupins, iothreadpins, vcpuscheds, iothreadscheds, emulatorpin, emulatorsched } = cputune
  const lists = [vcpupins, iothreadpins, vcpuscheds, iothreadscheds]
  return lists.some(list => list.length > 0) || (emulatorpin ?? emulatorsched) !== undefined
}

/** Counters of the kernel's (perf_event_open). */
export const asksForCounters = ({ perf }: DomainDef): boolean => perf !== undefined && Object.values(perf).some(Boolean)
