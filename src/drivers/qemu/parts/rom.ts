// A PCI device's option ROM, as -device options (qemuBuildRomProps).
import type { DeviceInfo } from '../../../conf/devices/device-info.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Props } from './props.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** `rombar` and `romfile`. @throws VIR_ERR_CONFIG_UNSUPPORTED for a device that is not on a PCI bus */
export function romProps({ rom, address }: Pick<DeviceInfo, 'rom' | 'address'>): Props {
  if (!rom) return {}
  if (address?.type !== 'pci') {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'ROM tuning is only supported for PCI devices')
  }
  if (rom.enabled === false) return { romfile: '' }
  return { rombar: rom.bar === undefined ? undefined : Number(rom.bar), romfile: rom.file }
}
