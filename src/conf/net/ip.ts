// <ip> and <route>: addresses of the guest's or the host's end of an interface (virDomainNetIPInfoParseXML).
import { attr, claim, custom, type Field, nonZero, type ParseContext } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { uint } from '../scalar.ts'
import { childElements, element, type XmlElement } from '../xml.ts'
import { type AddressFamily, formatSocketAddress, isNetworkAddress, parseSocketAddress } from './socket-address.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const failRoute = errorsFrom('VIR_FROM_NETWORK')

/** One address of an interface; `address` and `peer` are canonical. */
export interface IpAddress {
  address: string
  family: AddressFamily
  /** network bits */
  prefix?: number
  peer?: string
}

/** One route over an interface; addresses are canonical. */
export interface IpRoute {
  /** as the user wrote it; absent is ipv4 */
  family?: AddressFamily
  address: string
  netmask?: string
  prefix?: number
  gateway: string
  metric?: number
}

export interface IpInfo {
  ips: IpAddress[]
  routes: IpRoute[]
}

function parseIp(node: XmlElement): IpAddress {
  const { address: text, family: wanted, prefix: bits, peer: other } = node.attributes
  if (text === undefined) throw fail('VIR_ERR_XML_ERROR', 'Missing required address in <ip>')
  const address = parseSocketAddress(text, wanted === 'ipv4' || wanted === 'ipv6' ? wanted : undefined)
  if (!address) throw fail('VIR_ERR_XML_ERROR', `Invalid address '${text}' in <ip>`)
  const { family } = address
  const prefix = bits === undefined ? undefined : uint.parse(bits)
  if (bits !== undefined && (prefix === undefined || prefix > 8 * address.octets.length)) {
    throw fail('VIR_ERR_XML_ERROR', `Invalid prefix value '${bits}' in <ip>`)
  }
  const peer = other === undefined ? undefined : parseSocketAddress(other, family)
  if (other !== undefined && !peer) throw fail('VIR_ERR_INVALID_ARG', `Invalid peer '${other}' in <ip>`)
  return {
    address: formatSocketAddress(address),
    family,
    ...(prefix && { prefix }),
    ...(peer && { peer: formatSocketAddress(peer) })
  }
}

const routeNumbers = { prefix: attr('prefix', uint), metric: nonZero(attr('metric', uint)) }

/** Families of addresses as libvirt's messages call them. */
const FAMILY_NAME = { ipv4: 'IPv4', ipv6: 'IPv6' } as const

/** @param what names the interface's end in errors, as libvirt does: `interface host IP` */
function parseRoute(node: XmlElement, what: string, context: ParseContext): IpRoute {
  const wrong = (message: string) => failRoute('VIR_ERR_XML_ERROR', `${what}: ${message}`)
  const { family: named, address: to, netmask: mask, gateway: via } = node.attributes
  const prefix = routeNumbers.prefix.parse(node, context)
  const metric = routeNumbers.metric.parse(node, context)
  if (to === undefined) throw wrong('Missing required address attribute in route definition')
  if (via === undefined) throw wrong('Missing required gateway attribute in route definition')
  const address = parseSocketAddress(to)
  if (!address) throw wrong(`Bad network address '${to}' in route definition`)
  const gateway = parseSocketAddress(via)
  if (!gateway) throw wrong(`Bad gateway address '${via}' in route definition`)
  if (named !== undefined && named !== 'ipv4' && named !== 'ipv6') {
    throw wrong(`Unrecognized family '${named}' in route definition`)
  }
  const family = named ?? 'ipv4'
  const name = FAMILY_NAME[family]
  if (address.family !== family) {
    const said = named === undefined ? 'No family' : named === 'ipv4' ? 'IPv4 family' : 'ipv6 family'
    throw wrong(`${said} specified for non-${name} address '${to}' in route definition`)
  }
  if (mask !== undefined && family === 'ipv6') {
    throw wrong(`Specifying netmask invalid for IPv6 address '${to}' in route definition`)
  }
  if (gateway.family !== family) {
    throw wrong(
      family === 'ipv6'
        ? `ipv6 specified for non-IPv6 gateway address '${via}' in route definition`
        : `${named === undefined ? 'No' : 'IPv4'} family specified for non-IPv4 gateway '${to}' in route definition`
    )
  }
  const netmask = mask === undefined ? undefined : parseSocketAddress(mask)
  if (mask !== undefined) {
    if (!netmask) throw wrong(`Bad netmask address '${mask}' in route definition`)
    if (netmask.family !== 'ipv4') throw wrong(`Invalid netmask '${mask}' for address '${to}' (both must be IPv4)`)
    if (prefix !== undefined) throw wrong('Route definition cannot have both a prefix and a netmask')
  }
  const most = 8 * address.octets.length
  if ((prefix ?? 0) > most) {
    throw wrong(`Invalid prefix ${prefix} specified in route definition, must be 0 - ${most}`)
  }
  if (!isNetworkAddress(address, netmask ?? prefix ?? 0)) {
    throw wrong(`Address '${to}' in route definition is not a network address`)
  }
  return {
    ...(named !== undefined && { family }),
    address: formatSocketAddress(address),
    ...(netmask && { netmask: formatSocketAddress(netmask) }),
    ...(prefix !== undefined && { prefix }),
    gateway: formatSocketAddress(gateway),
    ...(metric !== undefined && { metric })
  }
}

/** The `<ip>` and `<route>` children of an element; absent if there are none. @param what names it in errors */
export function ipInfo(what: string): Field<IpInfo | undefined> {
  return custom<IpInfo | undefined>({
    names: [
      ['ip', { claimed: claim('@address', '@family', '@prefix', '@peer') }],
      ['route', { claimed: claim('@family', '@address', '@netmask', '@prefix', '@gateway', '@metric') }]
    ],
    parse(node, context) {
      const ips = childElements(node, 'ip').map(parseIp)
      const routes = childElements(node, 'route').map(route => parseRoute(route, what, context))
      return ips.length + routes.length > 0 ? { ips, routes } : undefined
    },
    format(value, into) {
      for (const { address, family, prefix, peer } of value?.ips ?? []) {
        into.children.push(element('ip', { address, family, prefix, peer }))
      }
      for (const { family, address, netmask, prefix, gateway, metric } of value?.routes ?? []) {
        into.children.push(element('route', { family, address, netmask, prefix, gateway, metric }))
      }
    }
  })
}
