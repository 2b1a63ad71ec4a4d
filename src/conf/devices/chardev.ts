// <serial>, <parallel>, <console>, <channel>: one character device each, with a host side (source) and a guest side.
import { attr, childAlways, custom, type Def, type Field, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { string, uint } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'
import { chardevSource } from './chardev-source.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** The guest side: what the device is there, and its number or name. */
export interface ChardevTarget {
  type?: string
  model?: string
  port?: number
  name?: string
  /** virtio channels of a running guest: whether the guest listens */
  state?: string
  address?: string
}

const TARGET_TYPES: Record<string, readonly string[]> = {
  serial: ['isa-serial', 'usb-serial', 'pci-serial', 'spapr-vio-serial', 'platform-serial', 'sclp-serial', 'isa-debug'],
  parallel: [],
  console: ['none', 'serial', 'xen', 'uml', 'virtio', 'lxc', 'openvz', 'sclp', 'sclplm'],
  channel: ['guestfwd', 'virtio', 'xen']
}
const SERIAL_MODELS = [
  'isa-serial',
  'usb-serial',
  'pci-serial',
  'spapr-vty',
  'pl011',
  'sclpconsole',
  'sclplmconsole',
  '16550a',
  'isa-debugcon'
]

const target: Field<ChardevTarget | undefined> = custom<ChardevTarget | undefined>({
  names: [
    [
      'target',
      {
        type: attr('type', string),
        name: attr('name', string),
        port: attr('port', uint),
        state: attr('state', string),
        address: attr('address', string),
        model: childAlways('model', { name: attr('name', string) })
      }
    ]
  ],
  parse(node, context) {
    const found = firstChild(node, 'target')
    if (!found) return undefined
    const { type, name, address, state } = found.attributes
    const known = TARGET_TYPES[node.name] ?? []
    if (type !== undefined && !known.includes(type)) {
      throw fail('VIR_ERR_XML_ERROR', `unknown target type '${type}' specified for character device`)
    }
    const model = firstChild(found, 'model')?.attributes.name
    if (model !== undefined && !SERIAL_MODELS.includes(model)) {
      throw fail('VIR_ERR_XML_ERROR', `unknown target model '${model}' specified for character device`)
    }
    const port = attr('port', uint).parse(found, context)
    return {
      ...(type !== undefined && { type }),
      ...(model !== undefined && { model }),
      ...(port !== undefined && { port }),
      ...(name !== undefined && { name }),
      ...(state !== undefined && !context.inactive && { state }),
      ...(address !== undefined && { address })
    }
  },
  format(value, into, context) {
    if (value === undefined) return
    const { type, model, port, name, state, address } = value
    into.children.push(
      element('target', { type, address, port, name, state: context.inactive ? undefined : state }, [
        model === undefined ? undefined : element('model', { name: model })
      ])
    )
  }
})

/** `tty` on `<console>`: the pty of a running guest, for old clients. */
const tty: Field<string | undefined> = {
  names: ['@tty'],
  parse: (node, context) => (context.inactive ? undefined : node.attributes.tty),
  format: () => undefined
}

export const chardevFields = { source: chardevSource, tty, target, ...deviceInfo } satisfies Fields
export type ChardevDef = Def<typeof chardevFields>

/** The next free port of a list. */
function nextPort(list: ChardevDef[]): number {
  return list.reduce((next, { target: t }) => Math.max(next, (t?.port ?? -1) + 1), 0)
}

export const serial = deviceFamily({
  element: 'serial',
  fields: chardevFields,
  postParse(dev, def) {
    dev.target ??= {}
    dev.target.port ??= nextPort(def.devices.serials)
  }
})

export const parallel = deviceFamily({
  element: 'parallel',
  fields: chardevFields,
  postParse(dev, def) {
    dev.target ??= {}
    dev.target.port ??= nextPort(def.devices.parallels)
  }
})

/** The first console of an hvm guest is its first serial port, shown again. */
export const console = deviceFamily({
  element: 'console',
  fields: chardevFields,
  postParse(dev, def) {
    dev.target ??= {}
    dev.target.type ??= 'serial'
    dev.target.port ??= nextPort(def.devices.consoles)
  },
  shown(dev, index, { serials }) {
    const twin = serials[index]
    if (dev.target?.type !== 'serial' || !twin) return dev
    return { ...twin, target: { type: 'serial', port: twin.target?.port } }
  }
})

export const channel = deviceFamily({
  element: 'channel',
  fields: chardevFields,
  validate(dev) {
    if (dev.target?.type === undefined)
      throw fail('VIR_ERR_XML_ERROR', 'target type must be specified for channel device')
  }
})
