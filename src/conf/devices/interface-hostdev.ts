// <interface type='hostdev'>: the host's own network card, given to the guest (virDomainHostdevDefParseXMLSubsys).
import { attr, custom, type Field, missingAttribute } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, yesNo } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'
import type { HostdevDef, HostdevOptions } from './hostdev.ts'
import {
  type HostdevSourceOf,
  hostdevSource,
  hostdevSourceNames,
  hostdevSources,
  parseHostdevSource
} from './hostdev-source.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Types of host devices that can be a network card. */
const CARDS = ['pci', 'usb'] as const

const backend = attr('name', enumOf('kvm', 'vfio', 'xen'))

/** The device with its options. */
export interface InterfaceHostdev {
  device: HostdevSourceOf<(typeof CARDS)[number]> & HostdevOptions
}

export const interfaceHostdev: Field<InterfaceHostdev> = custom<InterfaceHostdev>({
  names: ['@managed', ['source', { ...hostdevSourceNames, type: attr('type', string) }]],
  parse(node, context) {
    const managed = yesNo.parse(node.attributes.managed ?? '')
    const source = firstChild(node, 'source')
    const said = source && firstChild(source, 'address')?.attributes.type
    const type = said || (source && firstChild(source, 'vendor') ? 'usb' : undefined)
    if (!type) throw fail('VIR_ERR_XML_ERROR', 'missing source address type')
    if (!Object.hasOwn(hostdevSources.subsystem, type)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown host device source address type '${type}'`)
    }
    if (type !== 'usb' && source!.attributes.startupPolicy) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Setting startupPolicy is only allowed for USB devices')
    }
    if (type === 'mdev' && node.attributes.model === undefined) throw missingAttribute(node, 'model')
    const parsed = parseHostdevSource(source!, 'subsystem', type, context)
    if (!(CARDS as readonly string[]).includes(type)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `address type='${type}' not supported in hostdev interfaces`)
    }
    const device = parsed as InterfaceHostdev['device']
    if (managed) device.managed = true
    const driver = type === 'pci' ? firstChild(node, 'driver') : undefined
    const name = driver && backend.parse(driver, context)
    if (name) device.backend = name
    return { device }
  },
  format({ device }, into, context) {
    if (device.managed) into.attributes.managed = 'yes'
    if (device.backend) into.children.push(element('driver', { name: device.backend }))
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
