// <interface type='hostdev'>: the host's own network card, given to the guest (virDomainHostdevDefParseXMLSubsys).
import {
  attr,
  attrUnless,
  child,
  custom,
  type Def,
  type Field,
  type Fields,
  formatFieldsInto,
  nonZero,
  parseFields,
  required
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, hex, uintAnyBase, yesNo } from '../scalar.ts'
import { element, firstChild, type XmlElement } from '../xml.ts'
import { address, type PciAddress } from './device-address.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const id = hex(4)

/** `<source>` by the kind of host device. */
const kinds = {
  pci: {
    writeFiltering: attr('writeFiltering', yesNo),
    /** where the card sits on the host */
    address: custom<PciAddress>({
      names: address.names,
      parse: (node, context) => address.parse(withAddress(node), context) as PciAddress,
      format: (value, into, context) => address.format(value, into, context)
    })
  },
  usb: {
    startupPolicy: attr('startupPolicy', enumOf('mandatory', 'requisite', 'optional')),
    guestReset: attr('guestReset', enumOf('off', 'uninitialized', 'on')),
    vendor: child('vendor', { id: required(nonZero(attr('id', id))) }),
    product: child('product', { id: required(attr('id', id)) }),
    address: custom<{ bus: number; device: number } | undefined>({
      ...child('address', { bus: required(attr('bus', uintAnyBase)), device: required(attr('device', uintAnyBase)) }),
      format(value, into) {
        if (value) into.children.push(element('address', { type: 'usb', ...value }))
      }
    })
  }
} satisfies Record<string, Fields>
type Kinds = typeof kinds

/** Kinds that exist for `<hostdev>` but cannot be a network card. */
const NO_NETWORK = ['scsi', 'scsi_host', 'mdev']

/** A source without an address means the empty one. */
function withAddress(node: XmlElement): XmlElement {
  return firstChild(node, 'address') ? node : { ...node, children: [element('address', { type: 'pci' })] }
}

const backend = attrUnless('name', 'default', enumOf('kvm', 'vfio', 'xen'))

/** The device, and how the host lets go of it. */
export interface InterfaceHostdev {
  /** the host's driver is taken off and given back by us */
  managed?: boolean
  /** who passes the device through; pci only */
  backend?: 'kvm' | 'vfio' | 'xen'
  device: { [T in keyof Kinds]: { type: T } & Def<Kinds[T]> }[keyof Kinds]
}

export const interfaceHostdev: Field<InterfaceHostdev> = custom<InterfaceHostdev>({
  names: ['@managed', ['source', { ...kinds.pci, usb: { ...kinds.usb.address, names: kindNames(kinds.usb) } }]],
  parse(node, context) {
    const managed = yesNo.parse(node.attributes.managed ?? '')
    const source = firstChild(node, 'source')
    const said = source && firstChild(source, 'address')?.attributes.type
    const type = said || (source && firstChild(source, 'vendor') ? 'usb' : undefined)
    if (!type) throw fail('VIR_ERR_XML_ERROR', 'missing source address type')
    if (!Object.hasOwn(kinds, type)) {
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        NO_NETWORK.includes(type)
          ? `address type='${type}' not supported in hostdev interfaces`
          : `unknown host device source address type '${type}'`
      )
    }
    if (type !== 'usb' && source!.attributes.startupPolicy) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Setting startupPolicy is only allowed for USB devices')
    }
    const device = {
      type,
      ...parseFields(source!, kinds[type as keyof Kinds] as Fields, context)
    } as InterfaceHostdev['device']
    if (device.type === 'usb' && !device.vendor !== !device.product) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `missing ${device.vendor ? 'product' : 'vendor'}`)
    }
    const driver = type === 'pci' ? firstChild(node, 'driver') : undefined
    const name = driver && backend.parse(driver, context)
    return { ...(managed && { managed }), ...(name && { backend: name }), device }
  },
  format({ managed, backend, device }, into, context) {
    if (managed) into.attributes.managed = 'yes'
    if (backend) into.children.push(element('driver', { name: backend }))
    const source = element('source')
    formatFieldsInto(source, device, kinds[device.type] as Fields, context)
    into.children.push(source)
  }
})

function kindNames(fields: Fields) {
  return Object.values(fields).flatMap(field => field.names)
}
