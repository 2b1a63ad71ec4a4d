// XML of devices: made from options of commands, and taken out of a guest's.
import { statSync } from 'node:fs'
import { mac } from '../conf/scalar.ts'
import { childElements, element, firstChild, formatXml, parseXml, textOf, type XmlElement } from '../conf/xml.ts'
import { type Given, scaledInteger } from './arguments.ts'
import { ClientError } from './failure.ts'

/** The devices of that element name in domain XML. */
export function devicesIn(xml: string, name: string): XmlElement[] {
  const parent = firstChild(parseXml(xml), 'devices')
  return parent ? childElements(parent, name) : []
}

/** A device of a guest's XML as text by itself, in the form of libxml2, as virsh has it: further lines keep their place. */
export const textOfDevice = (device: XmlElement): string => formatXml({ ...device, namespace: '' }, '    ').trim()

/** The names of an address's parts in virsh's order, and the base of their numbers. */
interface AddressForm {
  type: string
  parts: readonly string[]
  base: 10 | 16
  /** digits of hexadecimal parts */
  digits?: readonly number[]
}

const DRIVE: AddressForm = { type: 'drive', parts: ['controller', 'bus', 'unit'], base: 10 }
const FORMS: Record<string, AddressForm> = {
  pci: { type: 'pci', parts: ['domain', 'bus', 'slot', 'function'], base: 16, digits: [4, 2, 2, 1] },
  scsi: DRIVE,
  ide: DRIVE,
  ccw: { type: 'ccw', parts: ['cssid', 'ssid', 'devno'], base: 16, digits: [2, 1, 4] },
  usb: { type: 'usb', parts: ['bus', 'port'], base: 10 },
  sata: DRIVE
}

/** `<address>` from virsh's form of it: pci:0000.00.05.0, scsi:0.0.1; undefined for what is none. */
function addressFrom(text: string): XmlElement | undefined {
  const [, kind = '', numbers = ''] = /^([^:]*):(.*)$/.exec(text) ?? []
  const form = Object.hasOwn(FORMS, kind) ? FORMS[kind]! : undefined
  const given = numbers.split(/[.:]/)
  const digit = form?.base === 16 ? /^(0x)?[0-9a-f]+$/i : /^\d+$/
  if (!form || given.length < form.parts.length) return undefined
  const node = element('address', { type: form.type })
  for (const [at, name] of form.parts.entries()) {
    const number = given[at]!
    if (!digit.test(number)) return undefined
    const value = Number.parseInt(number, form.base)
    node.attributes[name] = form.digits ? `0x${value.toString(16).padStart(form.digits[at]!, '0')}` : String(value)
  }
  return node
}

/** Kinds of addresses by how a disk's target begins, and virsh's words where it is another. */
const DISK_ADDRESSES: Record<string, [kinds: string[], wrong: string]> = {
  vd: [['pci', 'ccw'], 'expecting a pci:0000.00.00.00 or ccw:00.0.0000 address.'],
  sd: [['scsi', 'usb', 'sata'], 'expecting a scsi:00.00.00 or usb:00.00 or sata:00.00.00 address.'],
  hd: [['ide'], 'expecting an ide:00.00.00 address.']
}

function diskAddress(text: string, target: string, multifunction: boolean): XmlElement {
  const address = addressFrom(text)
  if (!address) throw new ClientError('Invalid address.')
  const [kinds, wrong] = DISK_ADDRESSES[target.slice(0, 2)] ?? []
  if (kinds && !kinds.includes(text.replace(/:.*/, ''))) throw new ClientError(wrong!)
  if (multifunction && address.attributes.type === 'pci') address.attributes.multifunction = 'on'
  return address
}

const SOURCE_TYPES = ['file', 'block', 'network']

/** The kind of a disk's source: as said, by its protocol, or by what is there. */
function sourceType(given: Given): string {
  const said = given.text('sourcetype')
  if (said !== undefined && !SOURCE_TYPES.includes(said)) throw new ClientError(`Unknown source type: '${said}'`)
  const driver = given.text('driver')
  const isBlock = () =>
    driver !== 'file' &&
    driver !== 'tap' &&
    statSync(given.text('source')!, { throwIfNoEntry: false })?.isBlockDevice() === true
  const type = said ?? (given.has('source-protocol') ? 'network' : isBlock() ? 'block' : 'file')
  if ((type === 'network') !== given.has('source-protocol')) {
    throw new ClientError('--source-protocol option requires --sourcetype network')
  }
  return type
}

function diskSource(given: Given, type: string): XmlElement {
  const source = given.text('source')!
  if (type === 'file') return element('source', { file: source })
  if (type === 'block') return element('source', { dev: source })
  const [, name, port] = /^([^:]*)(?::(.*))?$/s.exec(given.text('source-host-name') ?? '')!
  const host = filled('host', {
    transport: given.text('source-host-transport'),
    socket: given.text('source-host-socket'),
    name: name || undefined,
    port
  })
  return element('source', { protocol: given.text('source-protocol'), name: source }, [host])
}

/** An element where it has any attributes. */
function filled(name: string, attributes: Record<string, string | undefined>): XmlElement | undefined {
  const node = element(name, attributes)
  return Object.keys(node.attributes).length > 0 ? node : undefined
}

/** `<disk>` from the options of attach-disk. @throws ClientError in virsh's words */
export function diskFrom(given: Given): string {
  given.requiring(
    ['source-host-name', 'source-protocol'],
    ['source-host-transport', 'source-protocol'],
    ['source-host-socket', 'source-protocol'],
    ['source-host-socket', 'source-host-transport']
  )
  given.exclusive(['source-host-name', 'source-host-socket'])
  const type = sourceType(given)
  const [target, mode, address] = [given.text('target')!, given.text('mode'), given.text('address')]
  if (mode !== undefined && mode !== 'readonly' && mode !== 'shareable') {
    throw new ClientError(`No support for ${mode} in command 'attach-disk'`)
  }
  const attributes = { type, device: given.text('type'), rawio: given.has('rawio') ? 'yes' : undefined }
  const textIn = (name: string) => (given.has(name) ? element(name, {}, [given.text(name)]) : undefined)
  return formatXml(
    element('disk', attributes, [
      filled('driver', {
        name: given.text('driver'),
        type: given.text('subdriver'),
        iothread: given.text('iothread'),
        cache: given.text('cache'),
        io: given.text('io')
      }),
      diskSource(given, type),
      element('target', { dev: target, bus: given.text('targetbus') }),
      mode === undefined ? undefined : element(mode),
      textIn('serial'),
      filled('alias', { name: given.text('alias') }),
      textIn('wwn'),
      address === undefined ? undefined : diskAddress(address, target, given.has('multifunction'))
    ])
  )
}

/** `<source>` of an interface by its type; others attach-interface does not know. */
const INTERFACE_SOURCES: Record<string, (source: string, given: Given) => XmlElement> = {
  network: network => element('source', { network }),
  bridge: bridge => element('source', { bridge }),
  direct: dev => element('source', { dev }),
  hostdev(place) {
    const address = addressFrom(`pci:${place}`)
    if (!address) throw new ClientError(`cannot parse pci address '${place}' for network interface`)
    return element('source', {}, [address])
  },
  vhostuser(path, given) {
    const mode = given.text('source-mode')
    if (mode === undefined) throw new ClientError('source-mode is mandatory')
    return element('source', { type: 'unix', path, mode })
  }
}

const RATE_FIELDS = ['average', 'peak', 'burst', 'floor'] as const
type Rate = Partial<Record<(typeof RATE_FIELDS)[number], string>>

/** A limit as 'average,peak,burst,floor', where the last ones may be left out. */
function rateFrom(text: string): Rate {
  const numbers = text.split(',')
  if (numbers.length > RATE_FIELDS.length) throw new ClientError(`Rate string '${text}' has too many fields`)
  const rate: Rate = {}
  for (const [at, name] of RATE_FIELDS.entries()) {
    const number = numbers[at] ?? ''
    if (number !== '' && !/^\d+$/.test(number)) throw new ClientError(`field '${name}' is malformed`)
    if (Number(number) > 0) rate[name] = String(BigInt(number))
  }
  return rate
}

function bandwidthFrom(given: Given): XmlElement | undefined {
  const rate = (name: string) => (given.has(name) ? rateFrom(given.text(name)!) : undefined)
  const inbound = rate('inbound')
  if (inbound && !inbound.average && !inbound.floor) {
    throw new ClientError('either inbound average or floor is mandatory')
  }
  const outbound = rate('outbound')
  if (outbound && !outbound.average) throw new ClientError('outbound average is mandatory')
  if (outbound?.floor) throw new ClientError('outbound floor is unsupported yet')
  if (!inbound && !outbound) return undefined
  return element('bandwidth', {}, [inbound && element('inbound', inbound), outbound && element('outbound', outbound)])
}

/** `<interface>` from the options of attach-interface. @throws ClientError in virsh's words */
export function interfaceFrom(given: Given): string {
  const [type, mode] = [given.text('type')!, given.text('source-mode')]
  const source = Object.hasOwn(INTERFACE_SOURCES, type) ? INTERFACE_SOURCES[type] : undefined
  if (!source) throw new ClientError(`No support for ${type} in command 'attach-interface'`)
  if (mode !== undefined && mode !== 'server' && mode !== 'client') {
    throw new ClientError(`Invalid source mode: ${mode}`)
  }
  const bandwidth = bandwidthFrom(given)
  return formatXml(
    element('interface', { type, managed: given.has('managed') ? 'yes' : undefined }, [
      source(given.text('source')!, given),
      filled('target', { dev: given.text('target') }),
      filled('mac', { address: given.text('mac') }),
      filled('script', { path: given.text('script') }),
      filled('model', { type: given.text('model') }),
      filled('alias', { name: given.text('alias') }),
      bandwidth
    ])
  )
}

/** The disk of a target or source in domain XML, without its backing images. @throws ClientError in virsh's words */
export function findDisk(xml: string, path: string, { changeable = false } = {}): XmlElement {
  const disks = devicesIn(xml, 'disk')
  if (disks.length === 0) throw new ClientError('Failed to get disk information')
  const found = disks.find(disk => {
    if (changeable && !['cdrom', 'floppy', undefined].includes(disk.attributes.device)) return false
    const { file, dev, dir, name } = firstChild(disk, 'source')?.attributes ?? {}
    return [firstChild(disk, 'target')?.attributes.dev, file, dev, dir, name].includes(path)
  })
  if (!found) throw new ClientError(`No disk found whose source path or target is ${path}`)
  return {
    ...found,
    children: found.children.filter(child => typeof child === 'string' || child.name !== 'backingStore')
  }
}

/** The card of a type, and of an address where there are several. @throws ClientError in virsh's words */
export function findInterface(xml: string, type: string, mac: string | undefined): XmlElement {
  const cards = devicesIn(xml, 'interface').filter(({ attributes }) => attributes.type === type)
  if (cards.length === 0) throw new ClientError(`No interface found whose type is ${type}`)
  if (mac === undefined) {
    if (cards.length === 1) return cards[0]!
    throw new ClientError(`Domain has ${cards.length} interfaces. Please specify which one to detach using --mac`)
  }
  const [found, another] = cards.filter(
    card => firstChild(card, 'mac')?.attributes.address?.toLowerCase() === mac.toLowerCase()
  )
  if (another) {
    throw new ClientError(
      `Domain has multiple interfaces matching MAC address ${mac}. You must use detach-device and specify the device pci address to remove it.`
    )
  }
  if (!found) throw new ClientError(`No interface with MAC address ${mac} was found`)
  return found
}

/** The address and the host's device of a card. */
const namesOf = (card: XmlElement) => ({
  mac: firstChild(card, 'mac')?.attributes.address ?? '',
  target: firstChild(card, 'target')?.attributes.dev ?? ''
})

/** A card with its cable in or out, by its address or the host's device. @throws ClientError in virsh's words */
export function withLink(xml: string, name: string, state: string): string {
  const cards = devicesIn(xml, 'interface')
  if (cards.length === 0) throw new ClientError('Failed to extract interface information or no interfaces found')
  const wanted = name.toLowerCase()
  const card = cards.find(one => Object.values(namesOf(one)).some(known => known.toLowerCase() === wanted))
  if (!card) throw new ClientError(`interface '${name}' not found`)
  const link = firstChild(card, 'link')
  if (link) link.attributes.state = state
  else card.children.push(element('link', { state }))
  return textOfDevice(card)
}

/** The state of a card's cable, by its address or the host's device. @throws ClientError in virsh's words */
export function linkOf(xml: string, name: string): string {
  const address = mac.parse(name)
  const [card, another] = devicesIn(xml, 'interface').filter(one => {
    const known = namesOf(one)
    return known.mac === (address ?? name) || known.target === name
  })
  if (!card) throw new ClientError(`Interface (${address ? `mac: ${address}` : `dev: ${name}`}) not found.`)
  if (another) throw new ClientError('multiple matching interfaces found')
  return firstChild(card, 'link')?.attributes.state || 'up'
}

/** Changes of a drive's medium. */
export type MediaAction = 'eject' | 'insert' | 'update'

/** A drive with another medium, or none. @throws ClientError in virsh's words */
export function withMedium(
  disk: XmlElement,
  path: string,
  action: MediaAction,
  medium: string | undefined,
  block: boolean
): string {
  const { device } = disk.attributes
  if (device !== 'cdrom' && device !== 'floppy') {
    throw new ClientError(`The disk device '${path}' is not removable`)
  }
  const old = firstChild(disk, 'source')
  if (action === 'eject' && !old) throw new ClientError(`The disk device '${path}' doesn't have media`)
  if (action !== 'eject' && medium === undefined) throw new ClientError('New disk media source was not specified')
  const { file, dev, dir, pool, name, startupPolicy } = old?.attributes ?? {}
  if (action === 'insert' && (file ?? dev ?? dir ?? pool ?? name) !== undefined) {
    throw new ClientError(`The disk device '${path}' already has media`)
  }
  const source = element('source', { [block ? 'dev' : 'file']: medium, startupPolicy })
  return textOfDevice({
    ...disk,
    attributes: { ...disk.attributes, type: block && action !== 'eject' ? 'block' : 'file' },
    children: disk.children.flatMap(child => {
      if (child === old) return []
      const isTarget = typeof child !== 'string' && child.name === 'target'
      return isTarget && action !== 'eject' ? [source, child] : [child]
    })
  })
}

/** The memory device of a guest that is meant, asked for another size where one is given. @throws ClientError */
export function memoryFrom(xml: string, given: Given): string {
  const [alias, node] = [given.text('alias'), given.int('node', { min: 0 })]
  const [found, another] = devicesIn(xml, 'memory').filter(device => {
    if (node !== undefined) return Number(textIn(device, 'target', 'node') ?? Number.NaN) === node
    return alias === undefined || firstChild(device, 'alias')?.attributes.name === alias
  })
  if (!found) throw new ClientError('no memory device found')
  if (another) throw new ClientError('multiple memory devices found, use --alias or --node to select one')
  const size = given.text('requested-size')
  if (size === undefined) return textOfDevice(found)
  const kib = (scaledInteger(size, '<requested-size>', { unit: 1024n }) + 1023n) / 1024n
  const requested = childAt(found, 'target', 'requested')
  if (!requested) throw new ClientError('virtio-mem device is missing <requested/>')
  requested.children = [String(kib)]
  return textOfDevice(found)
}

/** The element below others of those names. */
const childAt = (node: XmlElement, ...names: string[]): XmlElement | undefined =>
  names.reduce<XmlElement | undefined>((above, name) => above && firstChild(above, name), node)

function textIn(node: XmlElement, ...names: string[]): string | undefined {
  const found = childAt(node, ...names)
  return found && textOf(found)
}
