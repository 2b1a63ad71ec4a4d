// -boot and direct kernel boot
import type { Command } from './command.ts'
import { keyValue } from './command.ts'

export function bootArgs(command: Command): void {
  const { os } = command.def
  const menu = os.bootmenu?.enable
  command.add(
    '-boot',
    keyValue('', {
      menu,
      'splash-time': menu ? os.bootmenu?.timeout : undefined,
      'reboot-timeout': os.bios?.rebootTimeout,
      strict: true
    })
  )
  if (os.kernel !== undefined) command.add('-kernel', os.kernel)
  if (os.initrd !== undefined) command.add('-initrd', os.initrd)
  if (os.cmdline !== undefined) command.add('-append', os.cmdline)
  if (os.dtb !== undefined) command.add('-dtb', os.dtb)
}

/** The place of a disk or NIC in the order of `<boot dev=…/>`, for its -device. */
export function bootIndexes(command: Command): Map<unknown, number> {
  const { os, devices } = command.def
  const out = new Map<unknown, number>()
  const hasPerDevice = [...devices.disks, ...devices.interfaces].some(dev => 'boot' in dev && dev.boot)
  if (hasPerDevice) {
    for (const dev of devices.disks) if (dev.boot) out.set(dev, dev.boot.order)
    return out
  }
  os.bootDevices.forEach(({ dev }, i) => {
    const device = { hd: 'disk', cdrom: 'cdrom', fd: 'floppy', network: '' }[dev]
    const found = dev === 'network' ? devices.interfaces[0] : devices.disks.find(disk => disk.device === device)
    if (found && !out.has(found)) out.set(found, i + 1)
  })
  return out
}
