// The host side of a character device: <serial>, <console>, <channel>, <rng> backends and others share it.
import {
  attr,
  childAlways,
  custom,
  type Def,
  type Field,
  type Fields,
  formatFieldsInto,
  parseFields
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff, string, uint, yesNo } from '../scalar.ts'
import { childElements, element, firstChild } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const reconnect = childAlways('reconnect', { enabled: attr('enabled', yesNo), timeout: attr('timeout', uint) })
const path = attr('path', string)
const file = { path, append: attr('append', onOff) }
const socket = {
  mode: attr('mode', enumOf('bind', 'connect')),
  host: attr('host', string),
  service: attr('service', string),
  tls: attr('tls', yesNo),
  reconnect
}

/** Attributes of `<source>` by backend. */
const kinds = {
  null: {},
  vc: {},
  pty: { path },
  dev: { path },
  file,
  pipe: { path },
  stdio: {},
  udp: {
    bindHost: attr('bindHost', string),
    bindService: attr('bindService', string),
    connectHost: attr('connectHost', string),
    connectService: attr('connectService', string)
  },
  tcp: socket,
  unix: { mode: attr('mode', enumOf('bind', 'connect')), path, reconnect },
  spicevmc: {},
  spiceport: { channel: attr('channel', string) },
  nmdm: { master: attr('master', string), slave: attr('slave', string) },
  'qemu-vdagent': {
    clipboard: childAlways('clipboard', { copypaste: attr('copypaste', yesNo) }),
    mouse: childAlways('mouse', { mode: attr('mode', enumOf('client', 'server')) })
  },
  dbus: { channel: attr('channel', string) }
} satisfies Record<string, Fields>
type Kinds = typeof kinds
export type ChardevType = keyof Kinds

const common = {
  protocol: childAlways('protocol', { type: attr('type', enumOf('raw', 'telnet', 'telnets', 'tls')) }),
  log: childAlways('log', { file: attr('file', string), append: attr('append', onOff) })
} satisfies Fields

/** One backend with its settings. */
export type ChardevSource = { [T in ChardevType]: { type: T } & Def<Kinds[T]> & Def<typeof common> }[ChardevType]
export type ChardevSourceOf<T extends ChardevType> = Extract<ChardevSource, { type: T }>

/** udp has two `<source>` elements, one for each direction; they are read as one. */
function sourceAttributes(node: Parameters<Field<unknown>['parse']>[0], type: ChardevType) {
  const sources = childElements(node, 'source')
  if (type !== 'udp') return sources[0] ?? element('source')
  const merged = element('source')
  for (const source of sources) {
    const side = source.attributes.mode === 'bind' ? 'bind' : 'connect'
    if (source.attributes.host !== undefined) merged.attributes[`${side}Host`] = source.attributes.host
    if (source.attributes.service !== undefined) merged.attributes[`${side}Service`] = source.attributes.service
  }
  return merged
}

/** `type` on the device itself and what follows from it. */
export const chardevSource: Field<ChardevSource> = custom<ChardevSource>({
  names: ['@type', ['source', null], ['protocol', common], ['log', null], ['clipboard', null], ['mouse', null]],
  parse(node, context) {
    const type = node.attributes.type ?? 'pty'
    if (!Object.hasOwn(kinds, type)) {
      throw fail('VIR_ERR_XML_ERROR', `unknown type presented to host for character device: ${type}`)
    }
    const fields = kinds[type as ChardevType] as Fields
    const from =
      type === 'qemu-vdagent' ? (firstChild(node, 'source') ?? node) : sourceAttributes(node, type as ChardevType)
    const parsed = {
      type,
      ...parseFields(from, fields, context),
      ...parseFields(node, common, context)
    } as ChardevSource
    if (parsed.type === 'pty' && context.inactive) delete parsed.path
    if (parsed.type === 'tcp') parsed.protocol = { type: parsed.protocol?.type ?? 'raw' }
    return parsed
  },
  format(value, into, context) {
    into.attributes = { type: value.type, ...into.attributes }
    if (value.type === 'udp') {
      if (value.bindHost ?? value.bindService)
        into.children.push(element('source', { mode: 'bind', host: value.bindHost, service: value.bindService }))
      into.children.push(element('source', { mode: 'connect', host: value.connectHost, service: value.connectService }))
    } else if (value.type !== 'pty' || !context.inactive) {
      const source = element('source')
      formatFieldsInto(source, value as never, kinds[value.type] as Fields, context)
      if (Object.keys(source.attributes).length + source.children.length > 0) into.children.push(source)
    }
    formatFieldsInto(into, value as never, common, context)
  }
})
