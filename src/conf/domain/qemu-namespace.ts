// Elements of QEMU's own namespace: arguments, environment, capabilities and device properties past what libvirt knows.
import { custom, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, longlong, ulonglong } from '../scalar.ts'
import { childElements, element, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const QEMU_NAMESPACE = 'http://libvirt.org/schemas/domain/qemu/1.0'

export interface EnvironmentVariable {
  name: string
  value?: string
}

const overrideType = enumOf('string', 'signed', 'unsigned', 'bool', 'remove')

/** A property of a device's front end: set to `value`, or removed. */
export interface PropertyOverride {
  name: string
  type: (typeof overrideType.values)[number]
  /** as the user wrote it; absent for `remove` */
  value?: string
}

export interface DeviceOverride {
  alias: string
  properties: PropertyOverride[]
}

export interface QemuNamespaceDef {
  args: string[]
  env: EnvironmentVariable[]
  capsAdd: string[]
  capsDel: string[]
  overrides: DeviceOverride[]
  deprecation?: string
}

/** Elements of the namespace two levels below the domain, whatever their prefix: `qemu:commandline/qemu:arg`. */
function grandchildren(node: XmlElement, outer: string, inner: string): XmlElement[] {
  return qemuChildren(node, outer).flatMap(found => qemuChildren(found, inner))
}

function qemuChildren(node: XmlElement, name: string): XmlElement[] {
  return childElements(node).filter(
    child => child.namespace === QEMU_NAMESPACE && child.name.slice(child.name.indexOf(':') + 1) === name
  )
}

const requiredOf = (nodes: XmlElement[], attribute: string, message: string) =>
  nodes.map(({ attributes }) => {
    const value = attributes[attribute]
    if (value === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', message)
    return value
  })

function parseVariable({ attributes: { name, value } }: XmlElement): EnvironmentVariable {
  const invalid = (message: string) => fail('VIR_ERR_INTERNAL_ERROR', message)
  if (name === undefined) throw invalid('No qemu environment name specified')
  if (!/^[A-Za-z_]/.test(name)) throw invalid('Invalid environment name, it must begin with a letter or underscore')
  if (!/^\w*$/.test(name)) throw invalid('Invalid environment name, it must contain only alphanumerics and underscore')
  return { name, ...(value !== undefined && { value }) }
}

/** The value a property is set to, undefined for one that its type cannot have. */
export function overrideValue({ type, value }: PropertyOverride): string | bigint | boolean | undefined {
  if (value === undefined) return undefined
  if (type === 'signed') return longlong.parse(value)
  if (type === 'unsigned') return ulonglong.parse(value)
  if (type === 'bool') return value === 'true' ? true : value === 'false' ? false : undefined
  return value
}

function parseProperty(node: XmlElement): PropertyOverride {
  const { name, type: text, value } = node.attributes
  const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)
  if (name === undefined) throw wrong("missing 'name' attribute for qemu:property")
  if (name === 'id') throw wrong("property with name 'id' can't be overridden")
  if (text === undefined) throw wrong("Missing required attribute 'type' in element 'property'")
  const type = overrideType.parse(text)
  if (type === undefined) throw wrong(`Invalid value for attribute 'type' in element 'property': '${text}'.`)
  if (type === 'remove') {
    if (value !== undefined)
      throw wrong("setting 'value' attribute of 'qemu:property' doesn't make sense with 'remove' type")
    return { name, type }
  }
  if (value === undefined) throw wrong("missing 'value' attribute for 'qemu:property'")
  const property = { name, type, value }
  if (overrideValue(property) === undefined)
    throw wrong(`invalid value '${value}' of 'value' attribute of 'qemu:property'`)
  return property
}

function parseOverride(node: XmlElement): DeviceOverride {
  const { alias } = node.attributes
  if (alias === undefined) throw fail('VIR_ERR_XML_ERROR', "missing 'alias' attribute for qemu:device")
  return { alias, properties: grandchildren(node, 'frontend', 'property').map(parseProperty) }
}

function formatOverride({ alias, properties }: DeviceOverride): XmlElement {
  const inner = properties.map(({ name, type, value }) => element('qemu:property', { name, type, value }))
  return element('qemu:device', { alias }, inner.length > 0 ? [element('qemu:frontend', {}, inner)] : [])
}

export const qemuNamespaceFields = {
  qemuNamespace: custom<QemuNamespaceDef | undefined>({
    names: [],
    parse(node) {
      const capability = (change: string) =>
        requiredOf(grandchildren(node, 'capabilities', change), 'capability', 'missing capability name')
      const args = grandchildren(node, 'commandline', 'arg')
      const out: QemuNamespaceDef = {
        args: requiredOf(args, 'value', 'No qemu command-line argument specified'),
        env: grandchildren(node, 'commandline', 'env').map(parseVariable),
        overrides: grandchildren(node, 'override', 'device').map(parseOverride),
        capsAdd: capability('add'),
        capsDel: capability('del')
      }
      const deprecation = qemuChildren(node, 'deprecation').find(({ attributes }) => attributes.behavior !== undefined)
      if (deprecation?.attributes.behavior) out.deprecation = deprecation.attributes.behavior
      const isEmpty = Object.values(out).every(value => Array.isArray(value) && value.length === 0)
      return isEmpty ? undefined : out
    },
    format(value, into) {
      if (value === undefined) return
      const add = (name: string, children: XmlElement[]) => {
        if (children.length > 0) into.children.push(element(name, {}, children))
      }
      into.attributes['xmlns:qemu'] = QEMU_NAMESPACE
      add('qemu:commandline', [
        ...value.args.map(arg => element('qemu:arg', { value: arg })),
        ...value.env.map(({ name, value: content }) => element('qemu:env', { name, value: content }))
      ])
      add('qemu:capabilities', [
        ...value.capsAdd.map(capability => element('qemu:add', { capability })),
        ...value.capsDel.map(capability => element('qemu:del', { capability }))
      ])
      add('qemu:override', value.overrides.map(formatOverride))
      if (value.deprecation !== undefined)
        into.children.push(element('qemu:deprecation', { behavior: value.deprecation }))
    }
  })
} satisfies Fields
