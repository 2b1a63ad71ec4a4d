// Boot order: the index of each device that may be booted from.
import type { AnyDevice } from '../../../conf/devices/index.ts'
import type { Builder } from './builder.ts'

/** Disks that `<boot dev=…/>` means. */
const BOOT_DISKS = { hd: ['disk', 'lun'], cdrom: ['cdrom'], fd: ['floppy'] }

/**
 * The place of a device in the boot order, for its -device (qemuProcessPrepareDeviceBootorder). What comes to a guest that
 * runs already has the place that its XML names, or none.
 */
export function bootIndex({ def, atStart }: Pick<Builder, 'def' | 'atStart'>, dev: AnyDevice): number | undefined {
  const { os, devices } = def
  const means = (kind: (typeof os.bootDevices)[number]['dev']) =>
    kind === 'network' ? devices.interfaces[0] : devices.disks.find(({ device }) => BOOT_DISKS[kind].includes(device))
  const at = atStart ? os.bootDevices.findLastIndex(boot => means(boot.dev) === dev) : -1
  return at < 0 ? dev.boot?.order : at + 1
}
