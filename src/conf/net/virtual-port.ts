// <virtualport>: the profile of a port, for the switch (virNetDevVPortProfileParse).

import { claim, custom, type Field } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { randomUUID } from '../random.ts'
import { type Scalar, uintAnyBase, uuid } from '../scalar.ts'
import { element, firstChild, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_NONE')
const failNet = errorsFrom('VIR_FROM_NET')

export type VirtualPortType = '802.1Qbg' | '802.1Qbh' | 'openvswitch' | 'midonet'

/** A port profile; its parameters have the names of their attributes. */
export interface VirtualPort {
  type?: VirtualPortType
  managerid?: number
  typeid?: number
  typeidversion?: number
  instanceid?: string
  profileid?: string
  interfaceid?: string
}
type Parameter = Exclude<keyof VirtualPort, 'type'>

/** Longest profile id: LIBVIRT_IFLA_VF_PORT_PROFILE_MAX less its NUL. */
const PROFILE_ID_MAX = 39

const NEGATIVE = /^\s*-[1-9]\d*$/

interface TypeRules {
  /** parameters that must be there, in the order they are missed */
  required: readonly Parameter[]
  /** parameters that must not be there, in the order they are found */
  refused: readonly Parameter[]
  /** parameters that are written; the rest is read and dropped */
  written: readonly Parameter[]
}

const ALL = ['managerid', 'typeid', 'typeidversion', 'instanceid', 'interfaceid', 'profileid'] as const

const PARAMETER_NAMES = { claimed: claim(...ALL.map(name => `@${name}`)) }

const TYPES: Record<VirtualPortType, TypeRules> = {
  '802.1Qbg': {
    required: ['managerid', 'typeid', 'typeidversion', 'instanceid'],
    refused: ['profileid', 'interfaceid'],
    written: ['managerid', 'typeid', 'typeidversion', 'instanceid']
  },
  '802.1Qbh': {
    required: ['profileid'],
    refused: ['managerid', 'typeid', 'typeidversion', 'instanceid', 'interfaceid'],
    written: ['profileid']
  },
  openvswitch: {
    required: ['interfaceid'],
    refused: ['managerid', 'typeid', 'typeidversion', 'instanceid'],
    written: ['interfaceid', 'profileid']
  },
  midonet: { required: ['interfaceid'], refused: [], written: ['interfaceid'] }
}

/** The demand of the element's owner (VIR_VPORT_XML_*): a complete profile of a known type, or just hints. */
export type VirtualPortDemand = 'complete' | 'partial'

function parseNumber(given: XmlElement, name: Parameter, most: number, outOfRange: string): number | undefined {
  const text = given.attributes[name]
  if (text === undefined) return undefined
  // libvirt wraps negative numbers around
  const value = NEGATIVE.test(text) ? Number.POSITIVE_INFINITY : uintAnyBase.parse(text)
  if (value === undefined) throw fail('VIR_ERR_XML_ERROR', `cannot parse value of ${name} parameter`)
  if (value > most) throw fail('VIR_ERR_XML_ERROR', outOfRange)
  return value
}

function parseText(given: XmlElement, name: Parameter, type: Scalar<string>, wrong: string): string | undefined {
  const text = given.attributes[name]
  if (text === undefined) return undefined
  const value = type.parse(text)
  if (value === undefined) throw fail('VIR_ERR_XML_ERROR', wrong)
  return value
}

const profileId: Scalar<string> = {
  parse: text => (Buffer.byteLength(text) <= PROFILE_ID_MAX ? text : undefined),
  format: value => value,
  schema: { type: 'string', maxLength: PROFILE_ID_MAX }
}

function parseParameters(given: XmlElement): VirtualPort {
  return {
    managerid: parseNumber(given, 'managerid', 0xff, 'value of managerid out of range'),
    typeid: parseNumber(given, 'typeid', 0xffffff, 'value for typeid out of range'),
    typeidversion: parseNumber(given, 'typeidversion', 0xff, 'value of typeidversion out of range'),
    instanceid: parseText(given, 'instanceid', uuid, 'cannot parse instanceid parameter as a uuid'),
    profileid: parseText(given, 'profileid', profileId, 'profileid parameter too long') || undefined,
    interfaceid: parseText(given, 'interfaceid', uuid, 'cannot parse interfaceid parameter as a uuid')
  }
}

/** The ids that libvirt draws when the user gives none. */
function drawIds(port: VirtualPort): void {
  if (port.type === undefined || port.type === '802.1Qbg') port.instanceid ??= randomUUID()
  if (port.type === undefined || port.type === 'openvswitch') port.interfaceid ??= randomUUID()
}

function checkParameters(port: VirtualPort, demand: VirtualPortDemand): void {
  if (port.type === undefined) return
  const { required, refused } = TYPES[port.type]
  const missing = demand === 'complete' && required.find(name => port[name] === undefined)
  if (missing) throw failNet('VIR_ERR_XML_ERROR', `missing ${missing} in <virtualport type='${port.type}'>`)
  const extra = refused.find(name => port[name] !== undefined)
  if (extra) throw failNet('VIR_ERR_XML_ERROR', `extra ${extra} unsupported in <virtualport type='${port.type}'>`)
}

/** Reads the element. @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_XML_ERROR */
function parseVirtualPort(node: XmlElement, demand: VirtualPortDemand): VirtualPort {
  const { type } = node.attributes
  if (type !== undefined && !Object.hasOwn(TYPES, type)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown virtualport type ${type}`)
  }
  if (type === undefined && demand === 'complete') throw fail('VIR_ERR_XML_ERROR', 'missing required virtualport type')
  const given = firstChild(node, 'parameters')
  const port: VirtualPort = { ...(given && parseParameters(given)) }
  if (type !== undefined) port.type = type as VirtualPortType
  drawIds(port)
  checkParameters(port, demand)
  return port
}

/**
 * `<virtualport>`.
 * @param demand gives the demand of its owner, or throws where the owner can have no profile
 */
export function virtualPort(demand: (owner: XmlElement) => VirtualPortDemand): Field<VirtualPort | undefined> {
  return custom<VirtualPort | undefined>({
    names: [['virtualport', { claimed: claim('@type', ['parameters', PARAMETER_NAMES]) }]],
    parse(node) {
      const found = firstChild(node, 'virtualport')
      return found && parseVirtualPort(found, demand(node))
    },
    format(value, into) {
      if (!value) return
      const names = value.type ? TYPES[value.type].written : ALL
      const parameters = element('parameters', Object.fromEntries(names.map(name => [name, value[name]])))
      const hasAny = ALL.some(name => value[name] !== undefined)
      if (value.type === undefined && !hasAny) return
      into.children.push(element('virtualport', { type: value.type }, hasAny ? [parameters] : []))
    }
  })
}
