// <input>: QEMU's checks and arguments.
import type { InputDef, InputType } from '../../../conf/devices/input.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { checkThere } from '../../../host/there.ts'
import type { Capability } from '../capabilities/signs.ts'
import { isX86 } from '../machine-type.ts'
import { addressProps, virtioProps } from '../parts/address.ts'
import type { Builder } from '../parts/builder.ts'
import { join, leave, missing, type QemuFamily } from './family.ts'

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
  },
  prepare({ source }, _def, { pretend }) {
    if (!pretend) checkThere(source?.path)
  },
  add: addInput,
  unplug: leave('inputs'),
  config: { attach: join('inputs'), noneToDetach: missing('matching input device not found') },
  live: {
    attach({ type, bus }) {
      if (type !== 'evdev' && bus !== 'usb' && bus !== 'virtio') throw staysOut(bus, 'be hot plugged.')
    },
    detach({ bus }) {
      if (bus === 'ps2' || bus === 'xen' || bus === 'parallels') throw staysOut(bus, 'be detached')
    }
  }
}

const staysOut = (bus: string | undefined, what: string) =>
  fail('VIR_ERR_OPERATION_UNSUPPORTED', `input device on bus '${bus}' cannot ${what}`)

/** PS/2 devices are part of the machine. */
function addInput(to: Builder, dev: InputDef): void {
  const { type, bus, alias, source } = dev
  if (type === 'evdev') {
    if (!source) throw fail('VIR_ERR_INTERNAL_ERROR', "argument key 'evdev' must not have null value")
    to.object({
      'qom-type': 'input-linux',
      id: alias!,
      evdev: source.path,
      repeat: source.repeat,
      grab_all: source.grab === 'all' || undefined,
      'grab-toggle': source.grabToggle
    })
  } else if (bus === 'virtio') {
    to.device({
      ...virtioProps(VIRTIO[type].driver, undefined, dev.address, dev.driver),
      id: alias,
      evdev: source?.path,
      ...addressProps(to, dev)
    })
  } else if (bus === 'usb') {
    to.device({ driver: USB_DRIVERS[type]!, id: alias, ...addressProps(to, dev) })
  }
}
