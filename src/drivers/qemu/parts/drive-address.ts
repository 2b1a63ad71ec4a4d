// Address of a drive, as -device options (qemuBuildDeviceAddresDriveProps).
import type { DriveAddress } from '../../../conf/devices/device-address.ts'
import type { DiskBus } from '../../../conf/devices/disk.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { isI440fx, isMipsMalta, isQ35 } from '../machine-type.ts'
import type { Builder } from './builder.ts'
import type { Props } from './props.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** SCSI controllers of before LUNs: a disk has a target id only. */
const NARROW_SCSI: (string | undefined)[] = ['lsilogic', 'ncr53c90', 'dc390', 'am53c974']

function controllerOf({ def }: Builder, type: 'ide' | 'sata' | 'scsi', index: number) {
  const found = def.devices.controllers.find(one => one.type === type && one.index === index)
  if (found?.alias) return { alias: found.alias, model: found.model }
  if (type === 'scsi') throw fail('VIR_ERR_INTERNAL_ERROR', `unable to find a SCSI controller for idx=${index}`)
  throw fail('VIR_ERR_INTERNAL_ERROR', `could not find ${type} controller with index ${index} required for device`)
}

/** Controllers the machine has built in are QEMU's `ide`, whatever libvirt calls them. */
function busOf(to: Builder, bus: 'ide' | 'sata', index: number): string {
  const { def } = to
  const isBuiltIn = bus === 'ide' ? isI440fx(def) || isMipsMalta(def) : isQ35(def) && index === 0
  return isBuiltIn ? 'ide' : controllerOf(to, bus, index).alias
}

/** @throws VIR_ERR_INTERNAL_ERROR for a controller that is not there or a bus without drive addresses */
export function driveProps(to: Builder, bus: DiskBus, address: DriveAddress): Props {
  const { controller, unit } = address
  switch (bus) {
    case 'ide':
      return { bus: `${busOf(to, bus, controller)}.${address.bus}`, unit }
    case 'sata':
      return { bus: `${busOf(to, bus, controller)}.${unit}` }
    case 'fdc':
      return { unit }
    case 'scsi': {
      const { alias, model } = controllerOf(to, bus, controller)
      if (NARROW_SCSI.includes(model)) return { bus: `${alias}.${address.bus}`, 'scsi-id': unit }
      return { bus: `${alias}.0`, channel: address.bus, 'scsi-id': address.target, lun: unit }
    }
    default:
      throw fail('VIR_ERR_INTERNAL_ERROR', `address type drive is not supported for bus '${bus}'`)
  }
}
