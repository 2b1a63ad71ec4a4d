// The host's side of an <interface>: its `type`, and the fields of `<source>` by type.
import {
  attr,
  child,
  custom,
  type Def,
  type Field,
  type Fields,
  formatFieldsInto,
  invalidAttribute,
  liveOnly,
  parseFields,
  required,
  withDefault
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { type IpInfo, ipInfo } from '../net/ip.ts'
import { enumOf, int, longlongAnyBase, string, uint, uuid, yesNo } from '../scalar.ts'
import { element, firstChild, type XmlElement } from '../xml.ts'
import { interfaceBackend } from './interface-driver.ts'
import { type InterfaceHostdev, interfaceHostdev } from './interface-hostdev.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const text = (name: string) => required(attr(name, string))
const port = required(attr('port', int))

/** `<reconnect>` of a vhost-user socket; a timeout counts only where it is enabled. */
const reconnectFields = { enabled: attr('enabled', yesNo), timeout: attr('timeout', uint) }
const reconnect: Field<Def<typeof reconnectFields> | undefined> = {
  ...child('reconnect', reconnectFields),
  parse(node, context) {
    const found = firstChild(node, 'reconnect')
    const enabled = found && reconnectFields.enabled.parse(found, context)
    if (enabled === undefined) return undefined
    return enabled ? { enabled, timeout: required(reconnectFields.timeout).parse(found!, context) } : { enabled }
  }
}

/** vhost-user speaks over unix sockets only. */
const unixOnly: Field<'unix'> = {
  ...withDefault(attr('type', enumOf('unix')), 'unix'),
  parse(node) {
    const { type = 'unix' } = node.attributes
    if (type === 'unix') return type
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Type='${type}' unsupported for <interface type='vhostuser'>`)
  }
}

const local: Field<{ address: string; port: number }> = {
  ...required(child('local', { address: text('address'), port })),
  parse(node, context) {
    const found = firstChild(node, 'local')
    if (found) return parseFields(found, { address: text('address'), port }, context)
    throw fail('VIR_ERR_XML_ERROR', "'<local>' element missing for 'udp' socket interface")
  }
}

/** A field of our own saved status only. */
const statusOnly = <T>(field: Field<T | undefined>): Field<T | undefined> => ({
  names: [],
  parse: (node, context) => (context.status ? field.parse(node, context) : undefined),
  format(value, into, context) {
    if (context.status) field.format(value, into, context)
  }
})

const macvlanMode = enumOf('vepa', 'private', 'bridge', 'passthrough')

/** Attributes and children of `<source>` by type; virDomainNetType has the types in this order. */
const kinds = {
  user: {},
  ethernet: {},
  vhostuser: {
    socketType: unixOnly,
    /** passt has one of its own */
    path: attr('path', string),
    mode: withDefault(attr('mode', enumOf('client', 'server')), 'client'),
    reconnect
  },
  server: { address: attr('address', string), port },
  client: { address: text('address'), port },
  mcast: { address: text('address'), port },
  network: {
    network: text('network'),
    portgroup: attr('portgroup', string),
    /** the port of the network a running guest holds */
    portid: liveOnly(attr('portid', uuid)),
    /** the bridge or device of the host that the port is plugged into */
    bridge: liveOnly(attr('bridge', string)),
    macTableManager: liveOnly(attr('macTableManager', enumOf('kernel', 'libvirt'))),
    dev: liveOnly(attr('dev', string)),
    mode: liveOnly(attr('mode', macvlanMode)),
    /** the type the interface has while it is plugged in */
    plug: statusOnly(attr('plug', enumOf('network', 'bridge', 'direct')))
  },
  bridge: { bridge: text('bridge') },
  internal: { name: text('name') },
  direct: { dev: text('dev'), mode: withDefault(attr('mode', macvlanMode), 'vepa') },
  hostdev: {},
  udp: { address: text('address'), port, local },
  vdpa: { dev: text('dev') },
  null: {},
  vds: {
    switchid: required(attr('switchid', uuid)),
    portid: withDefault(attr('portid', longlongAnyBase), 0n),
    portgroupid: attr('portgroupid', string),
    connectionid: withDefault(attr('connectionid', longlongAnyBase), 0n)
  }
} satisfies Record<string, Fields>
type Kinds = typeof kinds

export type InterfaceType = keyof Kinds
export const interfaceTypes = Object.keys(kinds) as InterfaceType[]

interface Extra {
  /** addresses and routes of the host's end; type ethernet only */
  hostIp?: IpInfo
  /** passt serves the card: with the addresses and routes of this device of the host, or of its default route's */
  passt?: { dev?: string }
}
/** The connection of an interface, by type. */
export type InterfaceSource =
  | { [T in Exclude<InterfaceType, 'hostdev'>]: { type: T } & Def<Kinds[T]> & Extra }[Exclude<InterfaceType, 'hostdev'>]
  | ({ type: 'hostdev' } & InterfaceHostdev & Extra)
export type InterfaceSourceOf<T extends InterfaceType> = Extract<InterfaceSource, { type: T }>

/** Types that do without a `<source>`; that of a host device has its own message. */
const OPTIONAL: readonly InterfaceType[] = ['user', 'ethernet', 'vhostuser', 'null', 'hostdev']

const hostIp = ipInfo('interface host IP')

/** The `type` of an interface element; user if it has none. */
export function interfaceType(node: XmlElement): InterfaceType {
  const { type } = node.attributes
  if (type === undefined) return 'user'
  if (!Object.hasOwn(kinds, type)) throw invalidAttribute(node, 'type', type)
  return type as InterfaceType
}

const passtFields = { dev: attr('dev', string) } satisfies Fields

export const interfaceSource: Field<InterfaceSource> = custom<InterfaceSource>({
  names: [
    '@type',
    ...interfaceHostdev.names,
    ['source', Object.assign({}, ...Object.values(kinds), { ...passtFields, hostIp })]
  ],
  parse(node, context) {
    const type = interfaceType(node)
    const found = firstChild(node, 'source')
    const ip = found && hostIp.parse(found, context)
    if (!found && !OPTIONAL.includes(type)) {
      throw fail('VIR_ERR_XML_ERROR', `interface type='${type}' requires a 'source' element`)
    }
    const rest =
      type === 'hostdev'
        ? interfaceHostdev.parse(node, context)
        : parseFields(found ?? element('source'), kinds[type] as Fields, context)
    const isPasst = interfaceBackend.parse(node, context)?.type === 'passt'
    const passt = isPasst && parseFields(found ?? element('source'), passtFields, context)
    return { type, ...rest, ...(passt && { passt }), ...(ip && { hostIp: ip }) } as InterfaceSource
  },
  format(value, into, context) {
    // a running guest's interface is shown as what it is
    const plugged = value.type === 'network' && !context.inactive && !context.status ? value.plug : undefined
    into.attributes = { type: plugged ?? value.type, ...into.attributes }
    if (value.type === 'hostdev') return interfaceHostdev.format(value, into, context)
    const source = element('source')
    // what passt leaves to the user is the device; the rest is fixed
    if (value.passt) formatFieldsInto(source, value.passt, passtFields, context)
    else formatFieldsInto(source, value as never, kinds[value.type] as Fields, context)
    hostIp.format(value.hostIp, source, context)
    if (Object.keys(source.attributes).length + source.children.length > 0) into.children.push(source)
  }
})
