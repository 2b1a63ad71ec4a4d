// <target> of character devices: what the guest sees (virDomainChrDefParseTargetXML, virDomainChrTargetDefFormat).
import {
  attr,
  childAlways,
  custom,
  type Field,
  type Fields,
  missingAttribute,
  parseAttribute,
  readAhead
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { formatSocketAddress, parseSocketAddress } from '../net/socket-address.ts'
import { enumOf, string, uint, uintWrapping } from '../scalar.ts'
import { element, firstChild, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const serialType = enumOf(
  'none',
  'isa-serial',
  'usb-serial',
  'pci-serial',
  'spapr-vio-serial',
  'system-serial',
  'sclp-serial',
  'isa-debug'
)
const serialModel = enumOf(
  'none',
  'isa-serial',
  'usb-serial',
  'pci-serial',
  'spapr-vty',
  'pl011',
  'sclpconsole',
  'sclplmconsole',
  '16550a',
  'isa-debugcon'
)
const consoleType = enumOf('none', 'serial', 'xen', 'uml', 'virtio', 'lxc', 'openvz', 'sclp', 'sclplm')
const channelType = enumOf('none', 'guestfwd', 'virtio', 'xen')
const channelState = enumOf('connected', 'disconnected')

type One<T extends { values: readonly string[] }> = T['values'][number]
export type SerialType = One<typeof serialType>
export type SerialModel = One<typeof serialModel>
export type ConsoleType = One<typeof consoleType>

/** Target of a serial port; its type is 'none' until QEMU's driver decides by machine. */
export interface SerialTarget {
  type: SerialType
  model: SerialModel
  port?: number
}
export interface ParallelTarget {
  port?: number
}
export interface ConsoleTarget {
  type: ConsoleType
  port?: number
}
/** `name` and `state` are of virtio (and xen) ports, `address` and `port` of forwarded TCP connections. */
export interface ChannelTarget {
  type: One<typeof channelType>
  name?: string
  /** live only: the guest listens or not */
  state?: One<typeof channelState>
  /** IPv4 */
  address?: string
  port?: number
}

const claimed = (fields: Fields): Field<unknown>['names'] => [['target', fields]]
const port = attr('port', uint)
const type = attr('type', string)

/** An enumerated value in the words this element has for it. */
function oneOf<T extends string>(text: string | undefined, of: { values: readonly T[] }, what: string): T {
  if (text === undefined) return of.values[0]!
  const known = of.values.find(value => value === text)
  if (known !== undefined) return known
  throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown target ${what} '${text}' specified for character device`)
}

function parsePort(node: XmlElement): { port?: number } {
  const text = node.attributes.port
  if (text === undefined) return {}
  const value = uintWrapping.parse(text)
  if (value === undefined) throw fail('VIR_ERR_XML_ERROR', `Invalid port number: ${text}`)
  // a C int holds it; -1 there means not chosen
  const signed = value | 0
  return signed === -1 ? {} : { port: signed }
}

const absent = element('target')

export const serialTarget: Field<SerialTarget> = custom<SerialTarget>({
  names: claimed({ type, port, model: childAlways('model', { name: attr('name', string) }) }),
  parse(node) {
    const found = firstChild(node, 'target') ?? absent
    const kind = oneOf(found.attributes.type, serialType, 'type')
    return {
      type: kind,
      model: oneOf(firstChild(found, 'model')?.attributes.name || undefined, serialModel, 'model'),
      ...parsePort(found)
    }
  },
  format({ type: kind, model, port: number = -1 }, into) {
    into.children.push(
      element('target', { type: kind === 'none' ? undefined : kind, port: number }, [
        model === 'none' ? undefined : element('model', { name: model })
      ])
    )
  }
})

export const parallelTarget: Field<ParallelTarget> = custom<ParallelTarget>({
  names: claimed({ type, port }),
  parse(node) {
    return parsePort(firstChild(node, 'target') ?? absent)
  },
  format({ port: number = -1 }, into) {
    into.children.push(element('target', { port: number }))
  }
})

export const consoleTarget: Field<ConsoleTarget> = custom<ConsoleTarget>({
  names: claimed({ type, port }),
  parse(node) {
    const found = firstChild(node, 'target') ?? absent
    const kind = oneOf(found.attributes.type, consoleType, 'type')
    return { type: kind, ...parsePort(found) }
  },
  format({ type: kind, port: number = -1 }, into) {
    into.children.push(element('target', { type: kind, port: number }))
  }
})

function parseGuestfwd(node: XmlElement): Pick<ChannelTarget, 'address' | 'port'> {
  const { address } = node.attributes
  if (address === undefined) {
    throw fail('VIR_ERR_XML_ERROR', 'guestfwd channel does not define a target address')
  }
  const numeric = parseSocketAddress(address)
  if (!numeric) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `Cannot parse socket address '${address}': Name or service not known`)
  }
  if (numeric.family !== 'ipv4') {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'guestfwd channel only supports IPv4 addresses')
  }
  const number = parseAttribute(node, 'port', uint)
  if (number === undefined) throw missingAttribute(node, 'port')
  return { address: formatSocketAddress(numeric), port: number & 0xffff }
}

export const channelTarget: Field<ChannelTarget> = custom<ChannelTarget>({
  names: claimed({
    type,
    port,
    name: attr('name', string),
    state: attr('state', string),
    address: attr('address', string)
  }),
  parse(node, context) {
    const found = firstChild(node, 'target')
    if (!found) {
      throw fail('VIR_ERR_XML_ERROR', 'target type must be specified for channel device')
    }
    // libvirt names a type that is missing '(null)'
    const kind = oneOf(found.attributes.type ?? '(null)', channelType, 'type')
    if (kind === 'none') return { type: kind }
    if (kind === 'guestfwd') return { type: kind, ...parseGuestfwd(found) }
    const { name } = found.attributes
    const state = kind === 'virtio' && !context.inactive && parseAttribute(found, 'state', channelState)
    return { type: kind, ...(name !== undefined && { name }), ...(state && { state }) }
  },
  format({ type: kind, address, port: number, name, state }, into, context) {
    const shown = context.inactive ? undefined : state
    into.children.push(element('target', { type: kind, address, port: number, name, state: shown }))
  }
})

/**
 * Refuses the backend spicevmc on all but virtio ports. libvirt compares the target's number in the element's own list
 * with virtio's in that of channels, so the third kind of every element passes.
 */
const spicevmc = (kinds: readonly string[]): Field<undefined> =>
  readAhead({
    parse(node) {
      const kind = firstChild(node, 'target')?.attributes.type ?? ''
      if (node.attributes.type === 'spicevmc' && kinds.indexOf(kind) !== 2) {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'spicevmc device type only supports virtio')
      }
    }
  })

/** The check of spicevmc by element, for when both sides are read. */
export const spicevmcChecks = {
  serial: spicevmc(serialType.values),
  parallel: spicevmc([]),
  console: spicevmc(consoleType.values),
  channel: spicevmc(channelType.values)
}

/** A USB serial port has no place but on USB. */
export const usbSerialCheck: Field<undefined> = readAhead({
  parse(node) {
    const type = firstChild(node, 'address')?.attributes.type
    if (firstChild(node, 'target')?.attributes.type === 'usb-serial' && type !== undefined && type !== 'usb') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'usb-serial requires address of usb type')
    }
  }
})
