// What every device has: alias, guest address, ROM, boot order, ACPI index. Formats as libvirt's device_conf.c.
import {
  attr,
  childAlways,
  childAttr,
  custom,
  type Def,
  type Field,
  type Fields,
  formatFieldsInto,
  nonZero,
  parseFields,
  withDefault
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { hex, hexlong, onOff, type Scalar, string, uint, uintAnyBase, yesNo } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** A hub path such as 1.2.4: up to four port numbers, each 1 to 255. */
const usbPort: Scalar<string> = {
  parse: text => {
    const ports = text.split('.')
    return ports.length <= 4 && ports.every(port => /^\d+$/.test(port) && Number(port) >= 1 && Number(port) <= 255)
      ? ports.map(Number).join('.')
      : undefined
  },
  format: value => value,
  schema: { type: 'string' }
}
/** A PCI function is written with one hexadecimal digit. */
const pciFunction: Scalar<number> = { ...uintAnyBase, format: value => `0x${value}` }

/** Guest addresses by type: where a device sits on its bus. */
export const addressKinds = {
  pci: {
    domain: withDefault(attr('domain', hex(4)), 0),
    bus: withDefault(attr('bus', hex(2)), 0),
    slot: withDefault(attr('slot', hex(2)), 0),
    function: withDefault(attr('function', pciFunction), 0),
    multifunction: attr('multifunction', onOff),
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
  usb: { bus: withDefault(attr('bus', uint), 0), port: attr('port', usbPort) },
  'spapr-vio': { reg: attr('reg', hexlong(8)) },
  ccw: { cssid: attr('cssid', hex()), ssid: attr('ssid', hex()), devno: attr('devno', hex(4)) },
  'virtio-mmio': {},
  isa: { iobase: attr('iobase', hex()), irq: attr('irq', hex()) },
  dimm: { slot: withDefault(attr('slot', uint), 0), base: attr('base', hexlong()) },
  unassigned: {}
} satisfies Record<string, Fields>

type Kinds = typeof addressKinds
export type AddressType = keyof Kinds & string
/** An address of one type, `AddressOf<'pci'>`; `Address` is any of them. */
export type AddressOf<T extends AddressType> = { type: T } & Def<Kinds[T]>
export type Address = { [T in AddressType]: AddressOf<T> }[AddressType]
export type PciAddress = AddressOf<'pci'>

/** True for `<address type='pci'/>`: the type is asked for, the place is not chosen yet. */
export function isPciAddressEmpty(address: PciAddress): boolean {
  return address.domain === 0 && address.bus === 0 && address.slot === 0 && address.function === 0
}

function checkPci(address: PciAddress): void {
  const { domain, bus, slot, function: fn } = address
  const invalid = (what: string, value: number, limit: number) =>
    fail(
      'VIR_ERR_XML_ERROR',
      `Invalid PCI address ${what}='0x${value.toString(16)}', must be <= 0x${limit.toString(16)}`
    )
  if (domain > 0xffff) throw invalid('domain', domain, 0xffff)
  if (bus > 0xff) throw invalid('bus', bus, 0xff)
  if (slot > 0x1f) throw invalid('slot', slot, 0x1f)
  if (fn > 7) throw invalid('function', fn, 7)
}

/** Writes `<address>` of any type. */
export const address: Field<Address | undefined> = custom<Address | undefined>({
  names: [['address', null]],
  parse(node, context) {
    const found = firstChild(node, 'address')
    if (!found) return undefined
    const type = found.attributes.type
    if (type === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', 'No type specified for device address')
    if (type === 'virtio-s390') throw fail('VIR_ERR_XML_ERROR', "virtio-s390 bus doesn't have an address")
    if (!Object.hasOwn(addressKinds, type)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown address type '${type}'`)
    const parsed = { type, ...parseFields(found, addressKinds[type as AddressType] as Fields, context) } as Address
    if (parsed.type === 'pci' && !isPciAddressEmpty(parsed)) checkPci(parsed)
    return parsed
  },
  format(value, into, context) {
    if (value === undefined) return
    const node = element('address', { type: value.type })
    if (value.type === 'pci' && isPciAddressEmpty(value)) {
      const { multifunction } = value
      if (multifunction !== undefined) node.attributes.multifunction = onOff.format(multifunction)
    } else formatFieldsInto(node, value as Def<Fields>, addressKinds[value.type] as Fields, context)
    into.children.push(node)
  }
})

const USER_ALIAS = /^ua-[A-Za-z0-9_-]*$/

/** `<alias>`: ours on a running guest; from a user only names beginning with ua- count. */
const alias: Field<string | undefined> = {
  ...childAttr('alias', 'name', string),
  parse(node, context) {
    const name = firstChild(node, 'alias')?.attributes.name
    return name && (!context.inactive || USER_ALIAS.test(name)) ? name : undefined
  },
  format(value, into, context) {
    if (value !== undefined && (!context.inactive || USER_ALIAS.test(value))) {
      into.children.push(element('alias', { name: value }))
    }
  }
}

/** The fields every device has. Put last into its table: libvirt writes them last. */
export const deviceInfo = {
  alias,
  /** ICH9 companion USB controllers: the first port of the master they serve */
  masterStartPort: childAttr('master', 'startport', uint),
  rom: custom<{ enabled?: boolean; bar?: boolean; file?: string } | undefined>({
    ...childAlways('rom', { enabled: attr('enabled', yesNo), bar: attr('bar', onOff), file: attr('file', string) }),
    parse(node, context) {
      const found = firstChild(node, 'rom')
      if (!found) return undefined
      const rom = parseFields(
        found,
        { enabled: attr('enabled', yesNo), bar: attr('bar', onOff), file: attr('file', string) },
        context
      )
      if (rom.enabled === false && (rom.bar !== undefined || rom.file !== undefined)) {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'ROM tuning is not supported when ROM is disabled')
      }
      return Object.keys(rom).length > 0 ? rom : undefined
    }
  }),
  acpiIndex: custom<number | undefined>({
    names: [['acpi', { index: attr('index', uint) }]],
    parse(node, context) {
      const found = firstChild(node, 'acpi')
      return found && nonZero(attr('index', uint)).parse(found, context)
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element('acpi', { index: value }))
    }
  }),
  address
} satisfies Fields

/** `<boot order=…/>` of devices a guest can boot from. */
export const deviceBoot = {
  boot: custom<{ order: number; loadparm?: string } | undefined>({
    names: [['boot', { order: attr('order', uint), loadparm: attr('loadparm', string) }]],
    parse(node, context) {
      const found = firstChild(node, 'boot')
      if (!found) return undefined
      const order = nonZero(attr('order', uint)).parse(found, context)
      if (order === undefined) throw fail('VIR_ERR_XML_ERROR', `Missing required attribute 'order' in element 'boot'`)
      const loadparm = found.attributes.loadparm
      if (loadparm === undefined) return { order }
      if (!/^[A-Z0-9. ]{1,8}$/i.test(loadparm)) {
        throw fail('VIR_ERR_XML_ERROR', `Invalid value for attribute 'loadparm' in element 'boot': '${loadparm}'.`)
      }
      return { order, loadparm: loadparm.toUpperCase() }
    },
    format(value, into) {
      if (value) into.children.push(element('boot', { order: value.order, loadparm: value.loadparm }))
    }
  })
} satisfies Fields

/** The `<driver>` attributes common to virtio devices. */
export const virtioDriver = {
  iommu: attr('iommu', onOff),
  ats: attr('ats', onOff),
  packed: attr('packed', onOff),
  pagePerVq: attr('page_per_vq', onOff)
} satisfies Fields

/** What code that walks all devices may rely on. */
export type DeviceInfo = Def<typeof deviceInfo> & Partial<Def<typeof deviceBoot>>
