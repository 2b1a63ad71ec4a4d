// <input>: QEMU's defaults, checks and arguments.
import type { InputDef } from '../../../conf/devices/input.ts'
import { addressProps } from './address.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuInput: QemuFamily<InputDef> = {}

const USB_DRIVERS: Record<string, string> = { mouse: 'usb-mouse', tablet: 'usb-tablet', keyboard: 'usb-kbd' }

export function inputsArgs(command: Command): void {
  for (const dev of command.def.devices.inputs) {
    const driver =
      dev.bus === 'usb'
        ? USB_DRIVERS[dev.type]
        : dev.bus === 'virtio'
          ? `virtio-${dev.type === 'passthrough' ? 'input-host' : dev.type}-pci`
          : undefined
    if (driver) command.device({ driver, id: dev.alias, evdev: dev.source?.evdev, ...addressProps(command, dev) })
  }
}
