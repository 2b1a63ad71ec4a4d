// <interface type='hostdev'>: the host's own network card, given to the guest (virDomainHostdevDefParseXMLSubsys).
import { attr, custom, type Field } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { string } from '../scalar.ts'
import { firstChild } from '../xml.ts'
import {
  formatHostdevDriver,
  type HostdevDef,
  type HostdevOptions,
  hostdevDriver,
  parseHostdevDriver,
  parseHostdevOptions
} from './hostdev.ts'
import {
  type HostdevSourceOf,
  hostdevSource,
  hostdevSourceNames,
  hostdevSources,
  parseHostdevSource
} from './hostdev-source.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** Types of host devices that can be a network card. */
const CARDS = ['pci', 'usb'] as const

/** The device with its options. */
export interface InterfaceHostdev {
  device: HostdevSourceOf<(typeof CARDS)[number]> & HostdevOptions
}

export const interfaceHostdev: Field<InterfaceHostdev> = custom<InterfaceHostdev>({
  names: ['@managed', ['driver', hostdevDriver], ['source', { ...hostdevSourceNames, type: attr('type', string) }]],
  parse(node, context) {
    const source = firstChild(node, 'source')
    const said = source && firstChild(source, 'address')?.attributes.type
    const type = said || (source && firstChild(source, 'vendor') ? 'usb' : undefined)
    if (!source || !type || !Object.hasOwn(hostdevSources.subsystem, type)) {
      throw unsupported(`unknown host device source address type '${type ?? '(null)'}'`)
    }
    const options = parseHostdevOptions(node, source, type)
    const parsed = parseHostdevSource(source, 'subsystem', type, context)
    if (!(CARDS as readonly string[]).includes(type)) {
      throw unsupported(`address type='${type}' not supported in hostdev interfaces`)
    }
    const driver = type === 'pci' ? parseHostdevDriver(node, context) : undefined
    const device = { ...parsed, ...options, ...driver } as InterfaceHostdev['device']
    return { device }
  },
  format({ device }, into, context) {
    if (device.managed) into.attributes.managed = 'yes'
    formatHostdevDriver(device, into, context)
    hostdevSource.format(device, into, context)
    const place = firstChild(firstChild(into, 'source') ?? into, 'address')
    if (place) place.attributes = { type: device.type, ...place.attributes }
  }
})

/** A network card of the host as the host device it is; others are none. */
export function networkHostdev(card: {
  source: { type: string } & Partial<InterfaceHostdev>
  boot?: HostdevDef['boot']
  teaming?: HostdevDef['teaming']
  alias?: string
  address?: HostdevDef['address']
  rom?: HostdevDef['rom']
  acpiIndex?: number
}): HostdevDef | undefined {
  const { source, boot, teaming, alias, address, rom, acpiIndex } = card
  return source.device && { source: source.device, boot, teaming, alias, address, rom, acpiIndex }
}

/** Devices of the host that a guest has, those that are its cards too. */
export const hostDevicesOf = (devices: {
  hostdevs: readonly HostdevDef[]
  interfaces: readonly Parameters<typeof networkHostdev>[0][]
}): HostdevDef[] => [...devices.hostdevs, ...devices.interfaces.flatMap(card => networkHostdev(card) ?? [])]
