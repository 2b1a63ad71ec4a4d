// <input>: mice, keyboards, tablets.
import { attr, childAlways, type Def, type Fields, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff, string } from '../scalar.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const bus = enumOf('ps2', 'usb', 'xen', 'parallels', 'virtio', 'none')

export const inputFields = {
  type: required(attr('type', enumOf('mouse', 'tablet', 'keyboard', 'passthrough', 'evdev'))),
  bus: attr('bus', bus),
  model: attr('model', enumOf('virtio', 'virtio-transitional', 'virtio-non-transitional')),
  driver: childAlways('driver', virtioDriver),
  source: childAlways('source', {
    evdev: attr('evdev', string),
    dev: attr('dev', string),
    grab: attr('grab', enumOf('all')),
    repeat: attr('repeat', onOff),
    grabToggle: attr('grabToggle', string)
  }),
  ...deviceInfo
} satisfies Fields
export type InputDef = Def<typeof inputFields>

export const input = deviceFamily({
  element: 'input',
  fields: inputFields,
  postParse(dev, def) {
    const ps2 = (dev.type === 'mouse' || dev.type === 'keyboard') && def.os.type === 'hvm'
    dev.bus ??= dev.type === 'passthrough' ? 'virtio' : dev.type === 'evdev' ? 'none' : ps2 ? 'ps2' : 'usb'
  },
  validate(dev) {
    if (dev.bus === 'ps2' && dev.type !== 'mouse' && dev.type !== 'keyboard') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `ps2 bus does not support ${dev.type} input device`)
    }
  }
})
