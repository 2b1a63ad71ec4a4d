// Limits of a guest as a whole, set on its control groups while QEMU initialises (virDomainCgroupSetupCgroup).
import { statSync } from 'node:fs'
import type { BlkioDevice } from '../../../../conf/domain/blkiotune.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { systemError } from '../../../../conf/errno.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import {
  bandwidth,
  blkioWeight,
  type Controller,
  cpuShares,
  type DeviceLimit,
  type Group,
  groupWith,
  memoryLimit,
  setDeviceLimit
} from '../../../../host/cgroup.ts'
import type { QemuDomain } from '../../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_CGROUP')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')

/** Limits under one controller: what the definition has of them, and libvirt's error where the host cannot. */
interface Limits {
  controller: Controller
  lacking: string
  asked(def: DomainDef): boolean
  set(def: DomainDef, group: Group): Promise<void>
}

/** Limits of memory in the order they are set: that of memory and swap is never below that of memory alone. */
export const MEMORY_LIMITS = [
  ['hard', 'hardLimitKiB'],
  ['soft', 'softLimitKiB'],
  ['swapHard', 'swapHardLimitKiB']
] as const

export const DEVICE_LIMITS = [
  'weight',
  'readIopsSec',
  'writeIopsSec',
  'readBytesSec',
  'writeBytesSec'
] as const satisfies readonly (DeviceLimit & keyof BlkioDevice)[]

const LIMITS: readonly Limits[] = [
  {
    controller: 'blkio',
    lacking: 'Block I/O tuning is not available on this host',
    asked: ({ blkiotune }) => Boolean(blkiotune?.weight || blkiotune?.devices.length),
    async set({ blkiotune }, group) {
      if (blkiotune?.weight) await blkioWeight.set(group, blkiotune.weight)
      for (const device of blkiotune?.devices ?? []) {
        for (const limit of DEVICE_LIMITS) {
          if (Number(device[limit]) !== 0) await setDeviceLimit(group, deviceNumbers(device.path), limit, device[limit])
        }
      }
    }
  },
  {
    controller: 'memory',
    lacking: 'Memory cgroup is not available on this host',
    asked: ({ memtune }) => (memtune?.hardLimitKiB ?? memtune?.softLimitKiB ?? memtune?.swapHardLimitKiB) !== undefined,
    async set({ memtune }, group) {
      for (const [limit, key] of MEMORY_LIMITS) {
        const kib = memtune?.[key]
        if (kib !== undefined) await memoryLimit.set(group, limit, BigInt(kib))
      }
    }
  },
  {
    controller: 'cpu',
    lacking: 'CPU tuning is not available on this host',
    asked: ({ cputune }) => cputune?.shares !== undefined,
    async set({ cputune }, group) {
      if (cputune?.shares !== undefined) await cpuShares.set(group, cputune.shares)
    }
  },
  {
    controller: 'cpu',
    lacking: 'cgroup cpu is required for scheduler tuning',
    asked: ({ cputune }) => Boolean(cputune?.globalPeriod || cputune?.globalQuota),
    set: ({ cputune }, group) =>
      bandwidth.set(group, { period: cputune?.globalPeriod ?? 0n, quota: cputune?.globalQuota ?? 0n })
  }
]

/** `MAJOR:MINOR` of a block device. @throws VIR_ERR_SYSTEM_ERROR (virCgroupGetBlockDevString) */
export function deviceNumbers(path: string): string {
  let stat: { isBlockDevice(): boolean; rdev: bigint }
  try {
    stat = statSync(path, { bigint: true })
  } catch (error) {
    throw systemError('VIR_FROM_CGROUP', `Path '${path}' is not accessible`, error)
  }
  if (!stat.isBlockDevice()) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `Path '${path}' must be a block device: Invalid argument`)
  }
  const { rdev } = stat
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn)
  return `${major}:${minor}`
}

/**
 * Sets what the definition says. A guest without any control group has no limits, as libvirt's of a session; where an
 * unprivileged one's groups lack a controller, the log says so.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED where root's lack it, VIR_ERR_SYSTEM_ERROR, VIR_ERR_INVALID_ARG
 */
export async function limitGuest({ def, running, context, log }: QemuDomain): Promise<void> {
  for (const { controller, lacking, asked, set } of LIMITS) {
    if (!asked(def)) continue
    const group = groupWith(running.cgroups, controller)
    if (group) await set(def, group)
    else if (running.cgroups.length > 0 && context.privileged) throw failDomain('VIR_ERR_CONFIG_UNSUPPORTED', lacking)
    else log.warn({ controller, reason: lacking }, 'what limits the guest is left out')
  }
}
