// Boot order: the index of each device that may be booted from.
import type { AnyDevice } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'

/** Disks that `<boot dev=…/>` means. */
const BOOT_DISKS = { hd: ['disk', 'lun'], cdrom: ['cdrom'], fd: ['floppy'] }

/** The place of a device in the boot order, for its -device (qemuProcessPrepareDeviceBootorder). */
export function bootIndex({ os, devices }: DomainDef, dev: AnyDevice): number | undefined {
  const means = (kind: (typeof os.bootDevices)[number]['dev']) =>
    kind === 'network' ? devices.interfaces[0] : devices.disks.find(({ device }) => BOOT_DISKS[kind].includes(device))
  const at = os.bootDevices.findLastIndex(boot => means(boot.dev) === dev)
  return at < 0 ? dev.boot?.order : at + 1
}
