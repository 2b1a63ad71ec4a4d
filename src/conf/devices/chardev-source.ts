// The host side of a character device: <serial>, <console>, <channel>, <rng> backends and others share it.
import { isDeepStrictEqual } from 'node:util'
import {
  attr,
  childAlways,
  custom,
  type Def,
  type Field,
  type Fields,
  type FormatContext,
  formatFieldsInto,
  liveOnly,
  type ParseContext,
  parseAttribute,
  parseFields,
  readAhead,
  required,
  withDefault
} from '../element.ts'
import { errorsFrom, type Fail } from '../error.ts'
import { enumOf, onOff, type Scalar, string, uint, yesNo } from '../scalar.ts'
import { childElements, element, firstChild, type XmlElement } from '../xml.ts'
import { type SeclabelOverride, seclabelOverrides } from './seclabel-override.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Reconnection when the other side has gone: on or off, and the seconds between two tries. */
export interface Reconnect {
  enabled: boolean
  timeout?: number
}

/** `<reconnect>`; the timeout counts only where reconnecting is on (virDomainChrSourceReconnectDefParseXML). */
export const reconnectField: Field<Reconnect | undefined> = custom<Reconnect | undefined>({
  names: [['reconnect', { enabled: attr('enabled', yesNo), timeout: attr('timeout', uint) }]],
  parse(node, context) {
    const found = firstChild(node, 'reconnect')
    const enabled = found && parseAttribute(found, 'enabled', yesNo)
    if (!found || enabled === undefined) return undefined
    return enabled ? { enabled, timeout: required(attr('timeout', uint)).parse(found, context) } : { enabled }
  },
  format(value, into) {
    if (value === undefined) return
    const { enabled, timeout } = value
    into.children.push(element('reconnect', { enabled: yesNo.format(enabled), timeout: enabled ? timeout : undefined }))
  }
})

const path = attr('path', string)
const mode = withDefault(attr('mode', enumOf('connect', 'bind')), 'connect')
const noSource = element('source')

/** Fields of `<source>`, by kind of backend. */
const kinds = {
  null: {},
  vc: {},
  pty: { path: liveOnly(path) },
  dev: { path },
  file: { path, append: attr('append', onOff) },
  pipe: { path },
  stdio: {},
  udp: {
    bindHost: attr('bindHost', string),
    bindService: attr('bindService', string),
    connectHost: attr('connectHost', string),
    connectService: attr('connectService', string)
  },
  tcp: {
    mode,
    host: attr('host', string),
    service: attr('service', string),
    tls: attr('tls', yesNo),
    /** the use of TLS was decided by the driver's configuration, not by the user */
    tlsFromConfig: custom<true | undefined>({
      names: ['@tlsFromConfig'],
      parse: (node, { status }) => (status && node.attributes.tlsFromConfig === '1' ? true : undefined),
      format(value, into, { status }) {
        if (status && value) into.attributes.tlsFromConfig = '1'
      }
    }),
    reconnect: reconnectField
  },
  unix: { mode, path, reconnect: reconnectField },
  spicevmc: {},
  spiceport: { channel: attr('channel', string) },
  nmdm: { master: attr('master', string), slave: attr('slave', string) },
  'qemu-vdagent': {
    clipboard: childAlways('clipboard', { copypaste: required(attr('copypaste', yesNo)) }),
    mouse: childAlways('mouse', { mode: required(attr('mode', enumOf('server', 'client'))) })
  },
  dbus: { channel: attr('channel', string) }
} satisfies Record<string, Fields>
type Kinds = typeof kinds
export type ChardevType = keyof Kinds

export type ChardevProtocol = 'raw' | 'telnet' | 'telnets' | 'tls'
/** QEMU's driver has the first two. */
const protocol: Scalar<ChardevProtocol> = enumOf('raw', 'telnet', 'telnets', 'tls')

const log = childAlways('log', { file: attr('file', string), append: attr('append', onOff) })

interface Common {
  /** a copy of everything the guest writes */
  log?: { file?: string; append?: boolean }
  seclabels?: SeclabelOverride[]
}
interface KindExtras {
  tcp: { protocol: ChardevProtocol }
}
/** One backend with its settings. */
export type ChardevSource = {
  [T in ChardevType]: { type: T } & Def<Kinds[T]> & Common & (T extends keyof KindExtras ? KindExtras[T] : unknown)
}[ChardevType]
export type ChardevSourceOf<T extends ChardevType> = Extract<ChardevSource, { type: T }>

/** True for a name of a backend. */
export function isChardevType(type: string): type is ChardevType {
  return Object.hasOwn(kinds, type)
}

/** udp has up to two `<source>` elements, one for each direction; they are read as one. */
function mergeUdp(sources: XmlElement[], context: ParseContext): XmlElement {
  const merged = element('source')
  for (const source of sources) {
    const side = mode.parse(source, context)
    const { host, service } = source.attributes
    if (merged.attributes[`${side}Host`] !== undefined || merged.attributes[`${side}Service`] !== undefined) continue
    if (host !== undefined) merged.attributes[`${side}Host`] = host
    if (service !== undefined) merged.attributes[`${side}Service`] = service
  }
  return merged
}

function only(node: XmlElement, name: string): XmlElement | undefined {
  const found = childElements(node, name)
  if (found.length <= 1) return found[0]
  throw fail('VIR_ERR_XML_ERROR', `only one ${name} element is allowed for character device`)
}

/**
 * Reads the backend below a node, its kind being known (virDomainChrSourceDefParseXML).
 * @param labelled `<seclabel>` counts: for serial ports, consoles and channels only
 */
export function parseChardevSource(
  node: XmlElement,
  type: ChardevType,
  context: ParseContext,
  labelled = false
): ChardevSource {
  const sources = childElements(node, 'source')
  if (sources.length > 1 && type !== 'udp') only(node, 'source')
  if (sources.length > 2) {
    throw fail('VIR_ERR_XML_ERROR', 'only two source elements are allowed for character device')
  }
  const [first = noSource] = sources
  const settings = parseFields(type === 'udp' ? mergeUdp(sources, context) : first, kinds[type] as Fields, context)
  const seclabels = labelled ? seclabelOverrides.parse(first, context) : undefined
  only(node, 'log')
  const logged = log.parse(node, context)
  return {
    type,
    ...settings,
    ...(type === 'tcp' && { protocol: parseProtocol(node) }),
    ...(logged?.file !== undefined && { log: logged }),
    ...(seclabels && { seclabels })
  } as ChardevSource
}

function parseProtocol(node: XmlElement): ChardevProtocol {
  const found = only(node, 'protocol')
  return (found && parseAttribute(found, 'type', protocol)) ?? 'raw'
}

/** Writes `<source>`, `<protocol>` and `<log>` (virDomainChrSourceDefFormat). */
export function formatChardevSource(value: ChardevSource, into: XmlElement, context: FormatContext): void {
  const source = element('source')
  switch (value.type) {
    case 'udp':
      for (const side of ['bind', 'connect'] as const) {
        const host = value[`${side}Host`]
        const service = value[`${side}Service`]
        if ((host ?? service) !== undefined) into.children.push(element('source', { mode: side, host, service }))
      }
      break
    case 'tcp': {
      const shown = context.migratable && value.tlsFromConfig ? { ...value, tls: undefined } : value
      formatFieldsInto(source, shown, kinds.tcp, context)
      into.children.push(source, element('protocol', { type: value.protocol }))
      break
    }
    case 'pty':
      if (value.path !== undefined && !context.inactive) pushLabelled(value, source, into, context)
      break
    case 'unix':
      if (value.path !== undefined) pushLabelled(value, source, into, context)
      break
    default:
      pushLabelled(value, source, into, context)
  }
  if (value.log) log.format(value.log, into, context)
}

/** The kinds libvirt writes labels for: those with a path. */
const LABELLED: ReadonlySet<ChardevType> = new Set(['pty', 'dev', 'file', 'pipe', 'unix'])

function pushLabelled(value: ChardevSource, source: XmlElement, into: XmlElement, context: FormatContext): void {
  if (LABELLED.has(value.type)) seclabelOverrides.format(value.seclabels, source, context)
  formatFieldsInto(source, value as never, kinds[value.type] as Fields, context)
  if (Object.keys(source.attributes).length + source.children.length > 0) into.children.push(source)
}

/** Differences between the elements that have a backend. */
interface SourceRules {
  /** the kind where none is named, or the error for that */
  missing: ChardevType | [...Parameters<Fail>]
  /** libvirt's message for a kind it does not know */
  unknown(type: string): string
  /** `<seclabel>` below `<source>` counts */
  labelled?: boolean
}

/** The backend of an element that names its kind in `type`. */
export function chardevSourceField({ missing, unknown, labelled }: SourceRules): Field<ChardevSource> {
  return custom<ChardevSource>({
    names: ['@type', ['source', null], ['protocol', { type: attr('type', protocol) }], ...log.names],
    parse(node, context) {
      let { type } = node.attributes
      if (type === undefined) {
        if (typeof missing !== 'string') throw fail(...missing)
        type = missing
      }
      if (!isChardevType(type)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', unknown(type))
      return parseChardevSource(node, type, context, labelled)
    },
    format(value, into, context) {
      into.attributes.type = value.type
      formatChardevSource(value, into, context)
    }
  })
}

const unknownType = (type: string) => `unknown type presented to host for character device: ${type}`

/** The backend of serial and parallel ports, consoles and channels. */
export const chardevSource: Field<ChardevSource> = chardevSourceField({
  missing: 'pty',
  unknown: unknownType,
  labelled: true
})

/** Refuses a kind there is not, before anything else of a port, console or channel is read. */
export const knownChardevType: Field<undefined> = readAhead({
  parse({ attributes: { type } }) {
    if (type !== undefined && !isChardevType(type)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', unknownType(type))
  }
})

/** True if libvirt takes both for the same (virDomainChrSourceDefIsEqual): logs, labels and TLS do not count. */
export function sameChardevSource(a: ChardevSource, b: ChardevSource): boolean {
  const compared = (source: ChardevSource) => {
    const { log: _, seclabels: __, ...rest } = source
    return { ...rest, tls: undefined, tlsFromConfig: undefined }
  }
  return isDeepStrictEqual(compared(a), compared(b))
}
