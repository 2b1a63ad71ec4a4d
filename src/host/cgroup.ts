// Control groups' files, of v1 and v2: limits and counters of one group, under names both versions share. Which version
// a directory belongs to is told by its own files, so that a guest's groups are nothing but a list of paths.
import { constants, existsSync, readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { systemError } from '../conf/errno.ts'
import { errorsFrom } from '../conf/error.ts'

const fail = errorsFrom('VIR_FROM_CGROUP')

export type Controller = 'cpu' | 'cpuacct' | 'cpuset' | 'memory' | 'blkio'

/** A file that every group with the controller has in v1. */
const V1_FILE: Record<Controller, string> = {
  cpu: 'cpu.shares',
  cpuacct: 'cpuacct.usage',
  cpuset: 'cpuset.cpus',
  memory: 'memory.limit_in_bytes',
  blkio: 'blkio.reset_stats'
}
/** Names in v2's cgroup.controllers; CPU time is counted in every group there. */
const V2_NAME: Record<Controller, string | undefined> = {
  cpu: 'cpu',
  cpuacct: undefined,
  cpuset: 'cpuset',
  memory: 'memory',
  blkio: 'io'
}

const FILE_MAX = 1024 * 1024

/** One directory of a hierarchy. */
export interface Group {
  path: string
  version: 1 | 2
}

/** The group at a path, if it has that controller. */
export function groupAt(path: string, controller: Controller): Group | undefined {
  const names = controllersOfV2(path)
  if (!names) return existsSync(join(path, V1_FILE[controller])) ? { path, version: 1 } : undefined
  const name = V2_NAME[controller]
  return name === undefined || names.includes(name) ? { path, version: 2 } : undefined
}

/** The one of a guest's groups that has a controller. */
export function groupWith(paths: readonly string[], controller: Controller): Group | undefined {
  for (const path of paths) {
    const group = groupAt(path, controller)
    if (group) return group
  }
  return undefined
}

function controllersOfV2(path: string): string[] | undefined {
  const file = join(path, 'cgroup.controllers')
  // v1 has none: an error for each look would be the dearer part of it
  if (!existsSync(file)) return undefined
  try {
    return readFileSync(file, 'utf8').trim().split(' ')
  } catch {
    return undefined
  }
}

/** A file's text without its last line end. @throws VIR_ERR_SYSTEM_ERROR (virCgroupGetValueRaw) */
export async function readGroupFile(path: string): Promise<string> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    try {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafeSlow(FILE_MAX), 0, FILE_MAX, 0)
      return buffer.toString('utf8', 0, bytesRead).replace(/\n$/, '')
    } finally {
      await file.close()
    }
  } catch (error) {
    throw systemError('VIR_FROM_CGROUP', `Unable to read from '${path}'`, error)
  }
}

/**
 * Writes to a file of a group, which is there: none is made, no link is followed. The kernel may take its time, as when
 * it reclaims memory.
 * @throws VIR_ERR_SYSTEM_ERROR (virCgroupSetValueRaw)
 */
export async function writeGroupFile(path: string, value: string): Promise<void> {
  try {
    const file = await open(path, constants.O_WRONLY | constants.O_TRUNC | constants.O_NOFOLLOW)
    try {
      await file.write(value)
    } finally {
      await file.close()
    }
  } catch (error) {
    const isInvalid = (error as NodeJS.ErrnoException).code === 'EINVAL'
    const words = isInvalid ? `Invalid value '${value}' for '${basename(path)}'` : `Unable to write to '${path}'`
    throw systemError('VIR_FROM_CGROUP', words, error)
  }
}

const read = ({ path }: Group, file: string) => readGroupFile(join(path, file))
const write = ({ path }: Group, file: string, value: string | number | bigint) =>
  writeGroupFile(join(path, file), String(value))
const has = ({ path }: Group, file: string) => existsSync(join(path, file))

async function readNumber(group: Group, file: string): Promise<bigint> {
  const text = await read(group, file)
  const [digits] = /^-?\d+/.exec(text) ?? []
  if (digits === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', `Unable to parse '${text}' as an integer`)
  return BigInt(digits)
}

const SHARES = { 1: ['cpu.shares', 2n, 262_144n], 2: ['cpu.weight', 1n, 10_000n] } as const

export const cpuShares = {
  get: (group: Group): Promise<bigint> => readNumber(group, SHARES[group.version][0]),
  /** @throws VIR_ERR_INVALID_ARG for a weight the version does not have, VIR_ERR_SYSTEM_ERROR */
  set(group: Group, shares: bigint): Promise<void> {
    const [file, min, max] = SHARES[group.version]
    if (shares < min || shares > max)
      throw fail('VIR_ERR_INVALID_ARG', `shares '${shares}' must be in range [${min}, ${max}]`)
    return write(group, file, shares)
  }
}

export const PERIOD_RANGE = [1000n, 1_000_000n] as const
/** Microseconds a group may run in a period; as much as the kernel can count is no limit in v2. */
export const QUOTA_RANGE = [1000n, 17_592_186_044_415n] as const

/** CPU time of a group: `quota` microseconds in every `period`; a negative quota is no limit. */
export interface Bandwidth {
  period: bigint
  quota: bigint
}

/** That of a group without limits, by version. */
export const unlimitedBandwidth = ({ version }: Group): Bandwidth => ({
  period: 100_000n,
  quota: version === 1 ? -1n : QUOTA_RANGE[1]
})

export const bandwidth = {
  /** The kernel can limit CPU time (CONFIG_CFS_BANDWIDTH). */
  isThere: (group: Group): boolean => has(group, group.version === 1 ? 'cpu.cfs_period_us' : 'cpu.max'),

  async get(group: Group): Promise<Bandwidth> {
    if (group.version === 1) {
      return {
        period: await readNumber(group, 'cpu.cfs_period_us'),
        quota: await readNumber(group, 'cpu.cfs_quota_us')
      }
    }
    const text = await read(group, 'cpu.max')
    const [, quota, period] = /^(max|\d+) (\d+)$/.exec(text) ?? []
    if (quota === undefined || period === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', "Invalid 'cpu.max' data.")
    return { period: BigInt(period), quota: quota === 'max' ? QUOTA_RANGE[1] : BigInt(quota) }
  },

  /**
   * Sets one or both; 0 leaves a value as it is. The period is set back if the quota is refused
   * (virCgroupSetupCpuPeriodQuota).
   * @throws VIR_ERR_INVALID_ARG, VIR_ERR_SYSTEM_ERROR
   */
  async set(group: Group, { period, quota }: Bandwidth): Promise<void> {
    if (period === 0n && quota === 0n) return
    checkRange('cfs_period', period, PERIOD_RANGE)
    checkRange('cfs_quota', quota, QUOTA_RANGE)
    if (group.version === 2) {
      const now = await bandwidth.get(group)
      const limit = quota === 0n ? now.quota : quota
      const word = limit < 0n || limit === QUOTA_RANGE[1] ? 'max' : String(limit)
      return write(group, 'cpu.max', `${word} ${period === 0n ? now.period : period}`)
    }
    const before = period === 0n ? 0n : await readNumber(group, 'cpu.cfs_period_us')
    if (period !== 0n) await write(group, 'cpu.cfs_period_us', period)
    if (quota === 0n) return
    try {
      await write(group, 'cpu.cfs_quota_us', quota)
    } catch (error) {
      if (before !== 0n) await write(group, 'cpu.cfs_period_us', before).catch(() => undefined)
      throw error
    }
  }
}

function checkRange(name: string, value: bigint, [min, max]: readonly [bigint, bigint]): void {
  if (value <= 0n || (value >= min && value <= max)) return
  throw fail('VIR_ERR_INVALID_ARG', `${name} '${value}' must be in range (${min}, ${max})`)
}

/** From here on a limit is none (VIR_DOMAIN_MEMORY_PARAM_UNLIMITED), KiB. */
export const UNLIMITED_KIB = 2n ** 53n - 1n
/** v1 says no limit as the last whole page below 2⁶³ bytes; pages have 64 KiB at most. */
const V1_UNLIMITED_KIB = (2n ** 63n - 65_536n) >> 10n

export type MemoryLimit = 'hard' | 'soft' | 'swapHard'

const MEMORY_FILE = {
  hard: { 1: 'memory.limit_in_bytes', 2: 'memory.max' },
  soft: { 1: 'memory.soft_limit_in_bytes', 2: 'memory.high' },
  swapHard: { 1: 'memory.memsw.limit_in_bytes', 2: 'memory.swap.max' }
} as const

/** Limits of a group's memory in KiB, UNLIMITED_KIB for none. */
export const memoryLimit = {
  async get(group: Group, limit: MemoryLimit): Promise<bigint> {
    const text = await read(group, MEMORY_FILE[limit][group.version])
    if (text === 'max') return UNLIMITED_KIB
    if (!/^\d+$/.test(text)) throw fail('VIR_ERR_INTERNAL_ERROR', `Failed to parse value '${text}' as number.`)
    const kib = BigInt(text) >> 10n
    return kib >= (group.version === 1 ? V1_UNLIMITED_KIB : UNLIMITED_KIB) ? UNLIMITED_KIB : kib
  },
  /** The kernel counts it: swap may not be. */
  isThere: (group: Group, limit: MemoryLimit): boolean => has(group, MEMORY_FILE[limit][group.version]),
  /** @throws VIR_ERR_INVALID_ARG, VIR_ERR_SYSTEM_ERROR */
  set(group: Group, limit: MemoryLimit, kib: bigint): Promise<void> {
    if (kib > UNLIMITED_KIB) throw fail('VIR_ERR_INVALID_ARG', `Memory '${kib}' must be less than ${UNLIMITED_KIB}`)
    const none = group.version === 1 ? '-1' : 'max'
    return write(group, MEMORY_FILE[limit][group.version], kib === UNLIMITED_KIB ? none : kib << 10n)
  }
}

/** Files of a group's weight, the I/O scheduler's own first. */
const WEIGHT_FILES = { 1: ['blkio.bfq.weight', 'blkio.weight'], 2: ['io.bfq.weight', 'io.weight'] } as const

function weightFile(group: Group): string {
  const file = WEIGHT_FILES[group.version].find(name => has(group, name))
  if (file !== undefined) return file
  const what = group.version === 1 ? 'blkio device weight' : 'blkio weight'
  throw fail('VIR_ERR_OPERATION_INVALID', `${what} is valid only for bfq or cfq scheduler`)
}

export const blkioWeight = {
  /** @throws VIR_ERR_OPERATION_INVALID where no I/O scheduler has weights */
  async get(group: Group): Promise<number> {
    const text = await read(group, weightFile(group))
    const [, weight] = /(?:^|default )(\d+)/m.exec(text) ?? []
    if (weight === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', `Unable to parse '${text}' as an integer`)
    return Number(weight)
  },
  async set(group: Group, weight: number): Promise<void> {
    const file = weightFile(group)
    await write(group, file, file === 'io.weight' ? `default ${weight}` : weight)
  }
}

export type DeviceLimit = 'weight' | 'readIopsSec' | 'writeIopsSec' | 'readBytesSec' | 'writeBytesSec'

const DEVICE_FILE: Record<Exclude<DeviceLimit, 'weight'>, { 1: string; 2: string }> = {
  readIopsSec: { 1: 'blkio.throttle.read_iops_device', 2: 'riops' },
  writeIopsSec: { 1: 'blkio.throttle.write_iops_device', 2: 'wiops' },
  readBytesSec: { 1: 'blkio.throttle.read_bps_device', 2: 'rbps' },
  writeBytesSec: { 1: 'blkio.throttle.write_bps_device', 2: 'wbps' }
}

/**
 * Sets a limit of one block device; 0 is none.
 * @param device its numbers, `MAJOR:MINOR`
 * @throws VIR_ERR_OPERATION_INVALID for a weight where no I/O scheduler has them, VIR_ERR_SYSTEM_ERROR
 */
export async function setDeviceLimit(
  group: Group,
  device: string,
  limit: DeviceLimit,
  value: bigint | number
): Promise<void> {
  if (limit === 'weight') {
    const file = group.version === 1 ? 'blkio.weight_device' : 'io.weight'
    if (!has(group, file)) {
      throw fail('VIR_ERR_OPERATION_INVALID', 'blkio device weight is valid only for cfq scheduler')
    }
    return write(group, file, `${device} ${value}`)
  }
  const file = DEVICE_FILE[limit][group.version]
  if (group.version === 1) return write(group, file, `${device} ${value}`)
  return write(group, 'io.max', `${device} ${file}=${BigInt(value) === 0n ? 'max' : value}`)
}

/** Host CPUs and nodes of memory a group may use, as lists. */
export const cpuset = {
  getCpus: (group: Group): Promise<string> => read(group, 'cpuset.cpus'),
  setCpus: (group: Group, list: string): Promise<void> => write(group, 'cpuset.cpus', list),
  setNodes: (group: Group, list: string): Promise<void> => write(group, 'cpuset.mems', list),
  getNodes: (group: Group): Promise<string> => read(group, 'cpuset.mems'),
  /** Has memory follow when the nodes change; v2 always does. */
  async migrateMemory(group: Group): Promise<void> {
    if (group.version === 1) await write(group, 'cpuset.memory_migrate', 1)
  }
}

/** CPU time in ns of a group on each CPU of the host, v1 only. @throws VIR_ERR_OPERATION_UNSUPPORTED in v2 */
export async function cpuTimesByCpu(group: Group): Promise<bigint[]> {
  if (group.version === 2) {
    const what = "operation 'getCpuacctPercpuUsage' not supported for backend 'cgroup V2'"
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', what)
  }
  return (await read(group, 'cpuacct.usage_percpu')).trim().split(/\s+/).map(BigInt)
}
