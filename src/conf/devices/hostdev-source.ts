// <source> of <hostdev>: the device of the host, one table per type (virDomainHostdevDefParseXMLSubsys).
import {
  attr,
  claim,
  custom,
  type Def,
  type Field,
  type Fields,
  formatFieldsInto,
  missingAttribute,
  type ParseContext,
  parseAttribute,
  parseFields,
  required
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, hex, string, uintAnyBase, ulonglongAnyBase, uuid, yesNo } from '../scalar.ts'
import { element, firstChild, textOf, type XmlElement } from '../xml.ts'
import { address as guestAddress, type PciAddress } from './device-address.ts'
import { formatIscsi, type IscsiSource, iscsiFields, parseIscsi } from './hostdev-iscsi.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const bad = (message: string) => fail('VIR_ERR_XML_ERROR', message)

const id = hex(4)
const numbers = { bus: attr('bus', uintAnyBase), device: attr('device', uintAnyBase) }

/** Vendor and product of a USB device, the same wherever it is plugged in. */
const usbIds: Field<{ vendor: number; product: number } | undefined> = {
  names: [
    ['vendor', { id: attr('id', id) }],
    ['product', { id: attr('id', id) }]
  ],
  parse(node) {
    const vendorNode = firstChild(node, 'vendor')
    const productNode = firstChild(node, 'product')
    const vendor = vendorNode && needId(vendorNode)
    if (vendor === 0) {
      throw bad("Invalid value for attribute 'id' in element 'vendor': Zero is not permitted")
    }
    if (vendorNode && !productNode) throw fail('VIR_ERR_INTERNAL_ERROR', 'missing product')
    const product = productNode && needId(productNode)
    if (productNode && !vendorNode) throw fail('VIR_ERR_INTERNAL_ERROR', 'missing vendor')
    return vendor === undefined || product === undefined ? undefined : { vendor, product }
  },
  format(value, into) {
    if (!value) return
    into.children.push(element('vendor', { id: id.format(value.vendor) }))
    into.children.push(element('product', { id: id.format(value.product) }))
  }
}

function needId(node: XmlElement): number {
  const value = parseAttribute(node, 'id', id)
  if (value === undefined) throw missingAttribute(node, 'id')
  return value
}

/** Bus and device number of a USB device, which change with each plugging. */
const usbPlace: Field<{ bus: number; device: number } | undefined> = {
  names: [['address', numbers]],
  parse(node, context) {
    const found = firstChild(node, 'address')
    if (!found) return undefined
    const place = {
      bus: required(numbers.bus).parse(found, context),
      device: required(numbers.device).parse(found, context)
    }
    return place.bus > 0 || place.device > 0 ? place : undefined
  },
  format(value, into) {
    if (value) into.children.push(element('address', { ...value }))
  }
}

/** We found the place by vendor and product: another host looks again. */
const autoAddress: Field<true | undefined> = {
  names: ['@autoAddress'],
  parse: node => parseAttribute(node, 'autoAddress', yesNo) || undefined,
  format(value, into, { migratable }) {
    if (value && migratable) into.attributes.autoAddress = 'yes'
  }
}

/** An optional device the host does not have. */
const missing: Field<true | undefined> = {
  names: ['@missing'],
  parse: (node, { inactive }) => (!inactive && node.attributes.missing === 'yes') || undefined,
  format(value, into, { inactive }) {
    if (value && !inactive) into.attributes.missing = 'yes'
  }
}

/** The place of a PCI device on the host; none is the zero one. */
const pciPlace: Field<PciAddress> = custom<PciAddress>({
  names: guestAddress.names,
  parse(node, context) {
    const found = firstChild(node, 'address') ?? element('address')
    const typed = { ...found, attributes: { ...found.attributes, type: 'pci' } }
    return guestAddress.parse({ ...node, children: [typed] }, context) as PciAddress
  },
  format({ domain, bus, slot, function: fn }, into) {
    const place = { domain: id.format(domain), bus: hex(2).format(bus), slot: hex(2).format(slot), function: `0x${fn}` }
    into.children.push(element('address', place))
  }
})

/** A unit of a SCSI adapter of the host. */
export interface ScsiUnit {
  protocol: 'adapter'
  adapter: string
  bus: number
  target: number
  unit: bigint
}

const unitNumbers = {
  bus: required(attr('bus', uintAnyBase)),
  target: required(attr('target', uintAnyBase)),
  unit: required(attr('unit', ulonglongAnyBase))
}

const scsi: Field<ScsiUnit | IscsiSource> = custom<ScsiUnit | IscsiSource>({
  names: [
    ['adapter', { name: attr('name', string) }],
    ['address', unitNumbers],
    ...Object.values(iscsiFields).flatMap(field => field.names)
  ],
  parse(node, context) {
    const protocol = parseAttribute(node, 'protocol', enumOf('adapter', 'iscsi')) ?? 'adapter'
    if (protocol === 'iscsi') return parseIscsi(node, context)
    const found = firstChild(node, 'address')
    if (!found) throw bad("'address' must be specified for scsi hostdev source")
    const place = parseFields(found, unitNumbers, context)
    const adapter = firstChild(node, 'adapter')?.attributes.name
    if (!adapter) throw bad("'adapter' name must be specified for scsi hostdev source")
    return { protocol, adapter, ...place }
  },
  format(value, into, context) {
    if (value.protocol === 'iscsi') {
      Object.assign(into, formatIscsi(value, context))
      return
    }
    const { adapter, bus, target, unit } = value
    into.children.push(element('adapter', { name: adapter }), element('address', { bus, target, unit }))
  }
})

const vhostProtocol = required(attr('protocol', enumOf('vhost')))

/** A vhost target of the kernel: its name is naa. and 16 digits. */
const vhostTarget: Field<{ protocol: 'vhost'; wwpn: string }> = {
  names: ['@protocol', '@wwpn'],
  parse(node, context) {
    const protocol = vhostProtocol.parse(node, context)
    const { wwpn } = node.attributes
    if (wwpn === undefined) throw bad('missing vhost-scsi hostdev source wwpn')
    if (!/^naa\.(0x)?[0-9a-fA-F]{16}$/.test(wwpn)) throw bad("malformed 'wwpn' value")
    return { protocol, wwpn }
  },
  format(value, into) {
    Object.assign(into.attributes, value)
  }
}

const mdevUuid: Field<string> = custom<string>({
  names: [['address', { uuid: attr('uuid', string) }]],
  parse(node) {
    const found = firstChild(node, 'address')
    if (!found) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Missing <address> element')
    const text = found.attributes.uuid
    if (text === undefined) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "Missing 'uuid' attribute for element <address>")
    }
    const parsed = uuid.parse(text)
    if (parsed === undefined) {
      throw fail('VIR_ERR_INTERNAL_ERROR', 'Cannot parse uuid attribute of element <address>')
    }
    return parsed
  },
  format(value, into) {
    into.children.push(element('address', { uuid: value }))
  }
})

/** A device of the host as containers see it; QEMU's guests cannot have it. */
function named(name: string, what: string): Field<string> {
  return custom<string>({
    names: [name],
    parse(node) {
      const found = firstChild(node, name)
      const text = found && textOf(found)
      if (!text) throw bad(`Missing <${name}> element in hostdev ${what} device`)
      return text
    },
    format(value, into) {
      into.children.push(element(name, {}, [value]))
    }
  })
}

/** `<source>` by mode and type. */
export const hostdevSources = {
  subsystem: {
    usb: {
      startupPolicy: attr('startupPolicy', enumOf('mandatory', 'requisite', 'optional')),
      autoAddress,
      missing,
      /** the effect on the device of a reset by the guest */
      guestReset: attr('guestReset', enumOf('off', 'uninitialized', 'on')),
      ids: usbIds,
      place: usbPlace
    },
    pci: { writeFiltering: attr('writeFiltering', yesNo), place: pciPlace },
    scsi: { from: scsi },
    scsi_host: { from: vhostTarget },
    mdev: { uuid: mdevUuid }
  },
  capabilities: {
    storage: { block: named('block', 'storage') },
    misc: { char: named('char', 'character') },
    net: { interface: named('interface', 'net') }
  }
} satisfies Record<string, Record<string, Fields>>

type Kinds = typeof hostdevSources
export type HostdevMode = keyof Kinds
type Of<M extends HostdevMode> = {
  [T in keyof Kinds[M] & string]: { mode: M; type: T } & (Kinds[M][T] extends Fields ? Def<Kinds[M][T]> : never)
}[keyof Kinds[M] & string]
/** A host device by mode and type: `{ mode: 'subsystem', type: 'usb', place: … }`. */
export type HostdevSource = { [M in HostdevMode]: Of<M> }[HostdevMode]
/** `HostdevSourceOf<'usb'>` */
export type HostdevSourceOf<T extends HostdevSource['type']> = Extract<HostdevSource, { type: T }>

const tables = hostdevSources as Record<string, Record<string, Fields>>

/** The names all sources claim together. */
export const hostdevSourceNames = {
  all: claim(
    ...Object.values(tables)
      .flatMap(types => Object.values(types))
      .flatMap(fields => Object.values(fields).flatMap(field => field.names))
  )
}

/** Reads the source of a known mode and type. */
export function parseHostdevSource(
  source: XmlElement,
  mode: HostdevMode,
  type: string,
  context: ParseContext
): HostdevSource {
  return { mode, type, ...parseFields(source, tables[mode]![type]!, context) } as HostdevSource
}

/** `<source>` of a host device. */
export const hostdevSource: Pick<Field<HostdevSource>, 'format'> = {
  format(value, into, context) {
    const node = element('source')
    formatFieldsInto(node, value as never, tables[value.mode]![value.type]!, context)
    if (Object.keys(node.attributes).length + node.children.length > 0) into.children.push(node)
  }
}
