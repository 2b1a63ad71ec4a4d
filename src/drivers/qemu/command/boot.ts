// -boot and direct kernel boot
import type { AnyDevice } from '../../../conf/devices/index.ts'
import { eachDeviceInfo } from '../../../conf/devices/index.ts'
import type { Command } from './command.ts'
import { keyValue } from './command.ts'

/** qemuBuildBootCommandLine */
export function bootArgs(command: Command): void {
  const { bootmenu, bios, kernel, initrd, cmdline, dtb, slicTable } = command.def.os
  command.add(
    '-boot',
    keyValue('', {
      menu: bootmenu?.enable,
      'reboot-timeout': bios?.rebootTimeout,
      'splash-time': bootmenu?.timeout,
      strict: true
    })
  )
  if (kernel !== undefined) command.add('-kernel', kernel)
  if (initrd !== undefined) command.add('-initrd', initrd)
  if (cmdline !== undefined) command.add('-append', cmdline)
  if (dtb !== undefined) command.add('-dtb', dtb)
  if (slicTable !== undefined) command.add('-acpitable', keyValue('', { sig: 'SLIC', file: slicTable }))
}

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
