// <interface>: network cards.
import { randomBytes } from 'node:crypto'
import { attr, childAlways, childAttr, custom, type Def, type Fields, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, mac, string, uint } from '../scalar.ts'
import { firstChild } from '../xml.ts'
import { deviceBoot, deviceInfoWithRom } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const macField = childAttr('mac', 'address', mac)

export const interfaceFields = {
  type: required(
    attr(
      'type',
      enumOf(
        'user',
        'ethernet',
        'vhostuser',
        'server',
        'client',
        'mcast',
        'network',
        'bridge',
        'internal',
        'direct',
        'hostdev',
        'udp',
        'vdpa',
        'null',
        'vds'
      )
    )
  ),
  /** given or drawn from QEMU's own prefix */
  mac: custom<string>({
    names: macField.names,
    format: macField.format,
    parse(node) {
      const text = firstChild(node, 'mac')?.attributes.address
      if (text === undefined)
        return `52:54:00:${randomBytes(3)
          .toString('hex')
          .replace(/(..)(?=.)/g, '$1:')}`
      const address = mac.parse(text)
      if (address === undefined) throw fail('VIR_ERR_XML_ERROR', `unable to parse mac address '${text}'`)
      if (Number.parseInt(address.slice(0, 2), 16) & 1) {
        throw fail('VIR_ERR_XML_ERROR', `expected unicast mac address, found multicast '${text}'`)
      }
      return address
    }
  }),
  source: childAlways('source', {
    network: attr('network', string),
    bridge: attr('bridge', string),
    dev: attr('dev', string),
    mode: attr('mode', string),
    portgroup: attr('portgroup', string)
  }),
  target: childAlways('target', { dev: attr('dev', string), managed: attr('managed', enumOf('yes', 'no')) }),
  model: childAttr('model', 'type', string),
  driver: childAlways('driver', { name: attr('name', enumOf('qemu', 'vhost')), queues: attr('queues', uint) }),
  link: childAttr('link', 'state', enumOf('up', 'down')),
  mtu: childAttr('mtu', 'size', uint),
  ...deviceBoot,
  ...deviceInfoWithRom
} satisfies Fields
export type InterfaceDef = Def<typeof interfaceFields>

export const interfaceFamily = deviceFamily({ element: 'interface', fields: interfaceFields })
