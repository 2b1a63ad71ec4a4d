// <address>: where a device sits on its bus, one table per type of address (device_conf.c).
import { isDeepStrictEqual } from 'node:util'
import {
  attr,
  childAlways,
  custom,
  type Def,
  type Field,
  type Fields,
  formatFieldsInto,
  invalidAttribute,
  missingAttribute,
  parseFields,
  readFirst,
  required,
  withDefault
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { hex, hexlong, onOff, type Scalar, uint, uintAnyBase } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DEVICE')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')
const failPci = errorsFrom('VIR_FROM_NONE')

/** USB hubs can be nested this deep, the controller's own port included. */
export const USB_MAX_PORT_DEPTH = 4

/** The numbers of a USB port path: '1.2.4' is [1, 2, 4]. A zero ends the path. */
export function usbPortPath(port: string): number[] {
  const path = port.split('.').map(Number)
  const end = path.indexOf(0)
  return end < 0 ? path : path.slice(0, end)
}

/** A path over hubs such as 1.2.4; a path that begins with 0 is no path. */
const usbPort: Field<string | undefined> = {
  names: ['@port'],
  parse(node) {
    const text = node.attributes.port
    if (text === undefined) return undefined
    const ports = text.split('.').map(part => uint.parse(part))
    if (ports.length > USB_MAX_PORT_DEPTH || ports.includes(undefined)) {
      throw fail('VIR_ERR_INTERNAL_ERROR', "Cannot parse <address> 'port' attribute")
    }
    return usbPortPath(ports.join('.')).join('.') || undefined
  },
  format(value, into) {
    if (value !== undefined) into.attributes.port = value
  }
}

/** A PCI function is written with one hexadecimal digit. */
const pciFunction: Scalar<number> = { ...uintAnyBase, format: value => `0x${value}` }

/** Left out where it is zero. */
const unlessZero = <T extends number | bigint>(field: Field<T | undefined>): Field<T | undefined> => ({
  ...field,
  parse: (node, context) => field.parse(node, context) || undefined
})

/** Guest addresses by type. */
export const addressKinds = {
  pci: {
    domain: withDefault(attr('domain', hex(4)), 0),
    bus: withDefault(attr('bus', hex(2)), 0),
    slot: withDefault(attr('slot', hex(2)), 0),
    function: withDefault(attr('function', pciFunction), 0),
    multifunction: attr('multifunction', onOff),
    /** s390 PCI devices have a user and a function id besides */
    zpci: childAlways('zpci', { uid: attr('uid', hex(4)), fid: attr('fid', hex(8)) })
  },
  drive: {
    controller: withDefault(attr('controller', uint), 0),
    bus: withDefault(attr('bus', uint), 0),
    target: withDefault(attr('target', uint), 0),
    unit: withDefault(attr('unit', uint), 0)
  },
  'virtio-serial': {
    controller: withDefault(attr('controller', uint), 0),
    bus: withDefault(attr('bus', uint), 0),
    port: withDefault(attr('port', uint), 0)
  },
  ccid: { controller: withDefault(attr('controller', uint), 0), slot: withDefault(attr('slot', uint), 0) },
  usb: { bus: withDefault(attr('bus', uint), 0), port: usbPort },
  'spapr-vio': { reg: attr('reg', hexlong(8, 16)) },
  /** all three or none: without them the place is not chosen yet */
  ccw: { cssid: attr('cssid', hex()), ssid: attr('ssid', hex()), devno: attr('devno', hex(4)) },
  'virtio-mmio': {},
  isa: { iobase: unlessZero(attr('iobase', hex(1, 16))), irq: unlessZero(attr('irq', hex(1, 16))) },
  dimm: { slot: required(attr('slot', uint)), base: unlessZero(attr('base', hexlong(1, 16))) },
  unassigned: {}
} satisfies Record<string, Fields>

/** In libvirt's order of reading, which decides about the error. */
const kindsAsRead: Record<string, Fields> = { ...addressKinds, usb: readFirst(addressKinds.usb, 'port') }

type Kinds = typeof addressKinds
export type AddressType = keyof Kinds & string
/** An address of one type, `AddressOf<'pci'>`; `Address` is any of them. */
export type AddressOf<T extends AddressType> = { type: T } & Def<Kinds[T]>
export type Address = { [T in AddressType]: AddressOf<T> }[AddressType]
export type PciAddress = AddressOf<'pci'>
export type DriveAddress = AddressOf<'drive'>

/** True for `<address type='pci'/>`: the type is asked for, the place is not chosen yet (virPCIDeviceAddressIsEmpty). */
export function isPciAddressEmpty({ domain, bus, slot }: Pick<PciAddress, 'domain' | 'bus' | 'slot'>): boolean {
  return domain === 0 && bus === 0 && slot === 0
}

/** True where a PCI place can and must be chosen (virDeviceInfoPCIAddressIsWanted). */
export function isPciAddressWanted({ address }: { address?: Address }): boolean {
  return address === undefined || (address.type === 'pci' && isPciAddressEmpty(address))
}

/** The PCI place of a device that has one (virDeviceInfoPCIAddressIsPresent). */
export function pciAddressOf({ address }: { address?: Address }): PciAddress | undefined {
  return address?.type === 'pci' && !isPciAddressEmpty(address) ? address : undefined
}

/** A PCI place as text: 0000:00:1f.2. */
export function pciAddressText({ domain, bus, slot, function: fn }: PciAddress): string {
  const pad = (value: number, digits: number) => value.toString(16).padStart(digits, '0')
  return `${pad(domain, 4)}:${pad(bus, 2)}:${pad(slot, 2)}.${fn.toString(8)}`
}

/** True if two drive addresses name the same place. */
export function sameDrive(a: DriveAddress, b: DriveAddress): boolean {
  return a.controller === b.controller && a.bus === b.bus && a.target === b.target && a.unit === b.unit
}

/**
 * True if two devices are at one place, or both at none: a PCI place counts without its flags
 * (virDomainDeviceInfoAddressIsEqual).
 */
export function sameAddress(a: Address | undefined, b: Address | undefined): boolean {
  const place = (address: Address | undefined) =>
    address?.type === 'pci' ? { ...address, multifunction: undefined, zpci: undefined } : address
  return isDeepStrictEqual(place(a), place(b))
}

/** True unless the device that is looked for is at another place; without an address any place will do. */
export function fitsAddress(wanted: { address?: Address }, there: { address?: Address }): boolean {
  return wanted.address === undefined || sameAddress(wanted.address, there.address)
}

/** Rejects what is no place on a PCI bus (virPCIDeviceAddressIsValid). @throws VIR_ERR_XML_ERROR */
export function checkPci(address: Pick<PciAddress, 'bus' | 'slot' | 'function'>): void {
  const { bus, slot, function: fn } = address
  const invalid = (what: string) => failPci('VIR_ERR_XML_ERROR', `Invalid PCI address ${what}`)
  const hexOf = (value: number) => `0x${value.toString(16)}`
  if (bus > 0xff) throw invalid(`bus='${hexOf(bus)}', must be <= 0xFF`)
  if (slot > 0x1f) throw invalid(`slot='${hexOf(slot)}', must be <= 0x1F`)
  if (fn > 7) throw invalid(`function=${hexOf(fn)}, must be <= 7`)
}

const CCW_MAX = { cssid: 254, ssid: 3, devno: 65535 }

function checkCcw({ cssid, ssid, devno }: AddressOf<'ccw'>): void {
  if ((cssid ?? 0) > CCW_MAX.cssid || (ssid ?? 0) > CCW_MAX.ssid || (devno ?? 0) > CCW_MAX.devno) {
    const text = (value = 0, digits = 1) => `0x${value.toString(16).padStart(digits, '0')}`
    throw fail(
      'VIR_ERR_INTERNAL_ERROR',
      `Invalid specification for virtio ccw address: cssid='${text(cssid)}' ssid='${text(ssid)}' devno='${text(devno, 4)}'`
    )
  }
  const given = [cssid, ssid, devno].filter(value => value !== undefined).length
  if (given !== 0 && given !== 3) {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'Invalid partial specification for virtio ccw address')
  }
}

/** The address as it is written: zeros for parts that are not known yet. */
function shown(value: Address): Address {
  if (value.type === 'ccw') return { cssid: 0, ssid: 0, devno: 0, ...value }
  if (value.type === 'pci' && value.zpci) return { ...value, zpci: { uid: 0, fid: 0, ...value.zpci } }
  return value
}

/** `<address>` of any type (virDomainDeviceAddressParseXML). */
export const address: Field<Address | undefined> = custom<Address | undefined>({
  names: [['address', null]],
  parse(node, context) {
    const found = firstChild(node, 'address')
    if (!found) return undefined
    const type = found.attributes.type
    if (type === undefined) throw missingAttribute(found, 'type')
    if (type === 'virtio-s390') throw failDomain('VIR_ERR_XML_ERROR', "virtio-s390 bus doesn't have an address")
    if (!Object.hasOwn(addressKinds, type)) throw invalidAttribute(found, 'type', type)
    const parsed = { type, ...parseFields(found, kindsAsRead[type]!, context) } as Address
    if (parsed.type === 'pci') {
      if (!isPciAddressEmpty(parsed)) checkPci(parsed)
      if (parsed.zpci && Object.keys(parsed.zpci).length === 0) delete parsed.zpci
    }
    if (parsed.type === 'ccw') checkCcw(parsed)
    return parsed
  },
  format(value, into, context) {
    if (value === undefined) return
    const node = element('address', { type: value.type })
    formatFieldsInto(node, shown(value) as Def<Fields>, addressKinds[value.type] as Fields, context)
    if (value.type === 'pci' && isPciAddressEmpty(value)) {
      for (const part of ['domain', 'bus', 'slot', 'function']) delete node.attributes[part]
    }
    into.children.push(node)
  }
})

/** A place on the s390 channel bus as text: fe.0.0001. */
export function ccwText({ cssid = 0, ssid = 0, devno = 0 }: AddressOf<'ccw'>): string {
  return `${cssid.toString(16)}.${ssid.toString(16)}.${devno.toString(16).padStart(4, '0')}`
}
