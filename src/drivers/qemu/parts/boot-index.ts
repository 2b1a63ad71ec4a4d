// Boot order: the index of each device that may be booted from.
import { type AnyDevice, eachDeviceInfo } from '../../../conf/devices/index.ts'
import type { Command } from '../command/command.ts'

/** Disks that `<boot dev=…/>` means. */
const BOOT_DISKS = { hd: ['disk', 'lun'], cdrom: ['cdrom'], fd: ['floppy'] }

/** The place of each device in the boot order, for its -device (qemuProcessPrepareDeviceBootorder). */
export function bootIndexes({ def }: Command): Map<AnyDevice, number> {
  const { os, devices } = def
  const out = new Map<AnyDevice, number>()
  for (const [, dev] of eachDeviceInfo(devices)) if (dev.boot) out.set(dev, dev.boot.order)
  for (const [i, { dev }] of os.bootDevices.entries()) {
    const first =
      dev === 'network' ? devices.interfaces[0] : devices.disks.find(disk => BOOT_DISKS[dev].includes(disk.device))
    if (first) out.set(first, i + 1)
  }
  return out
}
