// <input>: QEMU's checks and arguments.
import type { InputDef, InputType } from '../../../conf/devices/input.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Capability } from '../capabilities/signs.ts'
import type { Command } from '../command/command.ts'
import { isX86 } from '../machine-type.ts'
import { addressProps, virtioProps } from '../parts/address.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Devices on the virtio bus; `ccw` is what they need on an S390 channel, where they can be there at all. */
const VIRTIO: Record<InputType, { driver: string; needs: Capability; ccw?: Capability }> = {
  mouse: { driver: 'virtio-mouse', needs: 'virtio-mouse', ccw: 'virtio-mouse-ccw' },
  tablet: { driver: 'virtio-tablet', needs: 'virtio-tablet', ccw: 'virtio-tablet-ccw' },
  keyboard: { driver: 'virtio-keyboard', needs: 'virtio-keyboard', ccw: 'virtio-keyboard-ccw' },
  passthrough: { driver: 'virtio-input-host', needs: 'virtio-input-host' },
  evdev: { driver: 'input-linux', needs: 'input-linux' }
}
const USB_DRIVERS: Partial<Record<InputType, string>> = {
  mouse: 'usb-mouse',
  tablet: 'usb-tablet',
  keyboard: 'usb-kbd'
}

export const qemuInput: QemuFamily<InputDef> = {
  validate({ type, bus, model, address }, def, { qemu }) {
    if (bus === 'ps2' && !isX86(def) && !qemu.has('i8042')) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `${bus} is not supported by this QEMU binary`)
    }
    if (bus === 'usb' && type === 'keyboard' && !qemu.has('usb-kbd')) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'usb keyboard is not supported by this QEMU binary')
    }
    if (bus !== 'virtio') return
    if (model !== undefined && model !== 'virtio') {
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        `virtio (non-)transitional models are not supported for input type=${type}`
      )
    }
    const { driver, needs, ccw } = VIRTIO[type]
    if (!qemu.has(needs) || (address?.type === 'ccw' && !(ccw && qemu.has(ccw)))) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `${driver} is not supported by this QEMU binary`)
    }
  }
}

export function inputsArgs(command: Command): void {
  for (const dev of command.def.devices.inputs) {
    const { type, bus, alias, source } = dev
    if (type === 'evdev') {
      if (!source) throw fail('VIR_ERR_INTERNAL_ERROR', "argument key 'evdev' must not have null value")
      command.object({
        'qom-type': 'input-linux',
        id: alias!,
        evdev: source.path,
        repeat: source.repeat,
        grab_all: source.grab === 'all' || undefined,
        'grab-toggle': source.grabToggle
      })
    } else if (bus === 'virtio') {
      command.device({
        ...virtioProps(VIRTIO[type].driver, undefined, dev.address, dev.driver),
        id: alias,
        evdev: source?.path,
        ...addressProps(command, dev)
      })
    } else if (bus === 'usb') {
      command.device({ driver: USB_DRIVERS[type]!, id: alias, ...addressProps(command, dev) })
    }
  }
}
