// <input>: mice, keyboards, tablets, and devices of the host handed through.
import { isS390Arch, isX86Arch } from '../arch.ts'
import { attr, child, custom, type Def, type Fields, readFirst, readLast } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff, path as pathType } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'
import { isUsbDisabled } from './controller.ts'
import { fitsAddress } from './device-address.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'
import type { Devices } from './index.ts'
import { named, namedRequired } from './named.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const type = enumOf('mouse', 'tablet', 'keyboard', 'passthrough', 'evdev')
const bus = enumOf('ps2', 'usb', 'xen', 'parallels', 'virtio', 'none')

const sourceFields = {
  path: attr('path', pathType),
  grab: attr('grab', enumOf('all')),
  grabToggle: attr(
    'grabToggle',
    enumOf('ctrl-ctrl', 'alt-alt', 'shift-shift', 'meta-meta', 'scrolllock', 'ctrl-scrolllock')
  ),
  repeat: attr('repeat', onOff)
} satisfies Fields

/** The attribute that holds the host device's path. */
const PATH_ATTRIBUTE: Record<string, string> = { passthrough: 'evdev', evdev: 'dev' }

export const inputFields = {
  type: namedRequired('type', type, 'unknown input device type', [
    'VIR_ERR_INTERNAL_ERROR',
    'missing input device type'
  ]),
  bus: custom<(typeof bus.values)[number] | undefined>({
    ...named('bus', bus, 'unknown input bus type'),
    format(value, into) {
      if (value !== 'none') into.attributes.bus = value!
    }
  }),
  model: named('model', enumOf('virtio', 'virtio-transitional', 'virtio-non-transitional'), 'unknown input model'),
  driver: child('driver', virtioDriver),
  /** the host's event device, and for evdev how QEMU takes its events */
  source: custom<Def<typeof sourceFields> | undefined>({
    names: [['source', { evdev: attr('evdev', pathType), dev: attr('dev', pathType), ...sourceFields }]],
    parse(node, context) {
      const found = firstChild(node, 'source')
      const attribute = PATH_ATTRIBUTE[node.attributes.type ?? '']
      if (!found || attribute === undefined) return undefined
      const path = attr(attribute, pathType).parse(found, context)
      if (path === undefined) throw fail('VIR_ERR_XML_ERROR', 'Missing evdev path for input device')
      if (attribute !== 'dev') return { path }
      const { grab, grabToggle, repeat } = sourceFields
      return {
        path,
        grab: grab.parse(found, context),
        grabToggle: grabToggle.parse(found, context),
        repeat: repeat.parse(found, context)
      }
    },
    format(value, into) {
      if (value === undefined) return
      const { path, grab, grabToggle, repeat } = value
      into.children.push(
        element('source', {
          [PATH_ATTRIBUTE[into.attributes.type!]!]: path,
          grab,
          grabToggle,
          repeat: repeat === undefined ? undefined : onOff.format(repeat)
        })
      )
    }
  }),
  ...deviceInfo
} satisfies Fields
export type InputDef = Def<typeof inputFields>
export type InputType = InputDef['type']

/** The bus of a device that names none. */
function defaultBus({ type }: InputDef, arch: string): InputDef['bus'] {
  if ((type === 'mouse' || type === 'keyboard') && isX86Arch(arch)) return 'ps2'
  if (isS390Arch(arch) || type === 'passthrough') return 'virtio'
  return type === 'evdev' ? 'none' : 'usb'
}

/** A USB device has a USB address, and a bus to be on. */
function checkUsb({ bus, address }: InputDef, { controllers }: Pick<Devices, 'controllers'>): void {
  if (bus !== 'usb') return
  if (address && address.type !== 'usb') throw fail('VIR_ERR_XML_ERROR', 'Invalid address for a USB device')
  if (isUsbDisabled(controllers)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "Can't add USB input device. USB bus is disabled")
  }
}

export const input = deviceFamily({
  element: 'input',
  fields: inputFields,
  asRead: readLast(readFirst(inputFields, 'type', 'model', 'bus'), 'source', 'driver'),
  checkRead: checkUsb,
  // after the machine's own mouse and keyboard were added, which are not told from one without a bus
  postParse(dev, { os }) {
    dev.bus ??= defaultBus(dev, os.arch ?? '')
  },
  validate(dev, { features }) {
    if (dev.bus === 'ps2' && dev.type !== 'mouse' && dev.type !== 'keyboard') {
      throw fail('VIR_ERR_INTERNAL_ERROR', `ps2 bus does not support ${dev.type} input device`)
    }
    if (dev.bus === 'xen') throw fail('VIR_ERR_INTERNAL_ERROR', `unsupported input bus ${dev.bus}`)
    if (dev.type === 'passthrough' && dev.bus !== 'virtio') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "only bus 'virtio' is supported for 'passthrough' input devices")
    }
    if (dev.type === 'evdev' && dev.bus !== 'none') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "input evdev doesn't support bus element")
    }
    if (dev.model !== undefined && dev.bus !== 'virtio') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `only bus 'virtio' is supported for input model '${dev.model}'`)
    }
    if (dev.bus === 'ps2' && features?.ps2 === false) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'ps2 bus inputs require the ps2 feature not to be disabled')
    }
  },

  same: (wanted, there) =>
    wanted.type === there.type &&
    wanted.bus === there.bus &&
    (wanted.type !== 'passthrough' || wanted.source?.path === there.source?.path) &&
    fitsAddress(wanted, there),
  isUsb: ({ bus }) => bus === 'usb',

  /** Older libvirt knows no keyboards of its own making. */
  shown: (dev, _index, _devices, { migratable }) =>
    migratable && dev.type === 'keyboard' && (dev.bus === 'ps2' || dev.bus === 'xen') ? undefined : dev
})
