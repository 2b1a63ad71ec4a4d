// Limits of disks: on a running guest QEMU is told of them by its monitor (qemuProcessSetupDiskThrottling), those of
// groups are objects.
import type { DiskDef } from '../../../conf/devices/disk.ts'
import {
  hasIoTuneLimits,
  IOTUNE_LIMITS,
  IOTUNE_RATES,
  type IoTune,
  type IoTuneLimit
} from '../../../conf/devices/disk-iotune.ts'
import { isStorageEmpty } from '../../../conf/storage/source.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import type { Props } from '../parts/props.ts'

/** Path of a disk's block device in QEMU's object model (qemuAssignDeviceDiskAlias). */
export function diskQomPath({ alias, target }: DiskDef): string {
  if (target?.bus === 'virtio') return `/machine/peripheral/${alias}/virtio-backend`
  return target?.bus === 'usb' ? `/machine/peripheral/${alias}/${alias}.0/legacy[0]` : `${alias}`
}

/** QEMU's name of a limit: total_bytes_sec is bps, write_iops_sec_max is iops_wr_max. */
export function qemuLimitName(limit: IoTuneLimit): string {
  if (limit === 'size_iops_sec') return 'iops_size'
  const [, who, what, rest = ''] = /^(total|read|write)_(bytes|iops)_sec(.*)$/.exec(limit)!
  const suffix = { total: '', read: '_rd', write: '_wr' }[who as 'total' | 'read' | 'write']
  return `${what === 'bytes' ? 'bps' : 'iops'}${suffix}${rest}`
}

/** Arguments of block_set_io_throttle; lengths QEMU has defaults for are left to it. */
export function throttleArguments(disk: DiskDef, iotune: IoTune): Record<string, unknown> {
  const out: Record<string, unknown> = { id: diskQomPath(disk) }
  for (const limit of IOTUNE_LIMITS) {
    const value = iotune[limit]
    if (value !== undefined || !limit.endsWith('_length')) out[qemuLimitName(limit)] = value ?? 0n
  }
  if (iotune.group_name !== undefined) out.group = iotune.group_name
  return out
}

/** QEMU's id of a group of limits. */
export const throttleGroupId = (name: string): string => `throttle-${name}`

/** The name of a limit among those of a group: bps-total, iops-write-max-length. */
function groupLimitName(limit: IoTuneLimit): string {
  if (limit === 'size_iops_sec') return 'iops-size'
  const [, who, what, rest = ''] = /^(total|read|write)_(bytes|iops)_sec(.*)$/.exec(limit)!
  return `${what === 'bytes' ? 'bps' : 'iops'}-${who}${rest.replaceAll('_', '-')}`
}

/** Limits of a group; lengths QEMU has defaults for are left to it (qemuMonitorMakeThrottleGroupLimits). */
export function throttleGroupLimits(group: IoTune): Props {
  return Object.fromEntries(
    IOTUNE_LIMITS.map(limit => [groupLimitName(limit), group[limit] ?? (IOTUNE_RATES.includes(limit) ? 0n : undefined)])
  )
}

const isLimited = ({ iotune, source }: DiskDef) => !!iotune && hasIoTuneLimits(iotune) && !isStorageEmpty(source)

/** Sets the limits of a disk with a medium, or lifts those it had before. */
export async function throttleDisk(disk: DiskDef, qmp: QmpMonitor, before?: DiskDef): Promise<void> {
  if (!isLimited(disk) && !(before && isLimited(before))) return
  await qmp.execute('block_set_io_throttle', throttleArguments(disk, disk.iotune ?? {}))
}
