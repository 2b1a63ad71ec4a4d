// -boot and direct kernel boot
import { eachDeviceInfo } from '../../../conf/devices/index.ts'
import type { Command } from './command.ts'
import { keyValue } from './command.ts'

export function bootArgs(command: Command): void {
  const { os } = command.def
  const menu = os.bootmenu?.enable
  command.add(
    '-boot',
    keyValue('', {
      menu,
      'reboot-timeout': os.bios?.rebootTimeout,
      'splash-time': os.bootmenu?.timeout,
      strict: true
    })
  )
  if (os.kernel !== undefined) command.add('-kernel', os.kernel)
  if (os.initrd !== undefined) command.add('-initrd', os.initrd)
  if (os.cmdline !== undefined) command.add('-append', os.cmdline)
  if (os.dtb !== undefined) command.add('-dtb', os.dtb)
  if (os.slicTable !== undefined) command.add('-acpitable', keyValue('', { sig: 'SLIC', file: os.slicTable }))
}

/** The place of each device in the boot order, for its -device (qemuProcessPrepareDeviceBootorder). */
export function bootIndexes(command: Command): Map<unknown, number> {
  const { os, devices } = command.def
  const out = new Map<unknown, number>()
  for (const [, dev] of eachDeviceInfo(devices)) if (dev.boot) out.set(dev, dev.boot.order)
  for (const [i, { dev }] of os.bootDevices.entries()) {
    const first =
      dev === 'network' ? devices.interfaces[0] : devices.disks.find(disk => BOOT_DISKS[dev].includes(disk.device))
    if (first) out.set(first, i + 1)
  }
  return out
}

/** Disks that `<boot dev=…/>` means. */
const BOOT_DISKS = { hd: ['disk', 'lun'], cdrom: ['cdrom'], fd: ['floppy'] }
