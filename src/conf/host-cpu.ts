// <cpu> with an architecture: a host's CPU, as capabilities show it and as CPU comparison takes it (virCPUDefParseXML for
// VIR_CPU_TYPE_HOST).
import { type CpuDef, cpuCommon, cpuNames, parseCpu } from './domain/cpu.ts'
import { architecture } from './domain/os-type.ts'
import {
  attr,
  custom,
  type Def,
  type Field,
  type Fields,
  formatFields,
  nonZero,
  parseFields,
  required
} from './element.ts'
import { errorsFrom } from './error.ts'
import { enumOf, string, uint, ulonglong, yesNo } from './scalar.ts'
import { childElements, element, firstChild, parseXml, textOf, type XmlElement } from './xml.ts'

const fail = errorsFrom('VIR_FROM_CPU')

/** The text of the first child of that name, undefined if it is empty or not there. */
function childText(node: XmlElement, name: string): string | undefined {
  const found = firstChild(node, name)
  return (found && textOf(found)) || undefined
}

/** A child with text. */
function textChild<T extends string | undefined>(
  name: string,
  read: (text: string | undefined, node: XmlElement) => T
) {
  return custom<T>({
    names: [[name, {}]],
    parse: node => read(childText(node, name), node),
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, {}, [value]))
    }
  })
}

/** The first child of that name which `fits`, read and written by a table of attributes. */
function attributesChild<F extends Fields>(
  name: string,
  fields: F,
  fits: (node: XmlElement) => boolean = () => true
): Field<Def<F> | undefined> {
  return custom<Def<F> | undefined>({
    names: [[name, fields]],
    parse(node, context) {
      const found = childElements(node, name).find(fits)
      return found && parseFields(found, fields, context)
    },
    format(value, into, context) {
      if (value !== undefined) into.children.push(formatFields(name, value, fields, context))
    }
  })
}

const microcode = custom<number | undefined>({
  names: [['microcode', { version: attr('version', uint) }]],
  parse(node) {
    const text = firstChild(node, 'microcode')?.attributes.version
    const version = text === undefined ? undefined : uint.parse(text)
    if (text !== undefined && version === undefined) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'invalid microcode version')
    }
    return version || undefined
  },
  format(value, into) {
    if (value !== undefined) into.children.push(element('microcode', { version: value }))
  }
})

const featureNames = custom<string[]>({
  names: [['feature', { name: attr('name', string), policy: attr('policy', string) }]],
  parse(node) {
    const names: string[] = []
    const seen = new Set<string>()
    for (const { attributes } of childElements(node, 'feature')) {
      const { name } = attributes
      if (!name) throw fail('VIR_ERR_XML_ERROR', 'Invalid CPU feature name')
      if (seen.has(name)) throw fail('VIR_ERR_XML_ERROR', `CPU feature '${name}' specified more than once`)
      seen.add(name)
      names.push(name)
    }
    return names
  },
  format(value, into) {
    into.children.push(...value.map(name => element('feature', { name })))
  }
})

const hostCpuTable = {
  arch: textChild('arch', text => {
    if (text === undefined) throw fail('VIR_ERR_XML_ERROR', 'Missing CPU architecture')
    const arch = architecture.parse(text)
    if (arch === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Unknown architecture ${text}`)
    return arch as string
  }),
  /** absent where nothing is known of the CPU; XML always has it */
  model: textChild<string | undefined>('model', text => text),
  vendor: textChild<string | undefined>('vendor', text => text),
  microcode,
  signature: attributesChild('signature', {
    family: required(nonZero(attr('family', uint))),
    model: required(attr('model', uint)),
    stepping: required(attr('stepping', uint))
  }),
  /** rate of the time stamp counter in Hz, and whether guests may have another */
  counter: attributesChild(
    'counter',
    {
      name: required(attr('name', enumOf('tsc'))),
      frequency: required(attr('frequency', ulonglong)),
      scaling: attr('scaling', yesNo)
    },
    ({ attributes }) => attributes.name === 'tsc'
  ),
  ...cpuCommon,
  features: featureNames
} satisfies Fields
export type HostCpuDef = Def<typeof hostCpuTable>

const { arch, microcode: version, signature, counter, ...others } = hostCpuTable
/** The same, in the order in which libvirt finds errors. */
const asRead = { arch, version, signature, counter, ...others }

function parseHostCpu(node: XmlElement): HostCpuDef {
  if (node.attributes.mode !== undefined) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Attribute mode is only allowed for guest CPU')
  }
  if (node.attributes.migratable !== undefined) {
    throw fail(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      "Attribute migratable is only allowed for 'host-passthrough' / 'maximum' CPU mode"
    )
  }
  const { version: microcodeVersion, ...def } = parseFields(node, asRead, { inactive: true })
  if (def.model === undefined) throw fail('VIR_ERR_XML_ERROR', 'Missing CPU model name')
  return { ...def, ...(microcodeVersion !== undefined && { microcode: microcodeVersion }) }
}

/** A host's CPU as an element; its children are what capabilities show. */
export const formatHostCpu = (cpu: HostCpuDef): XmlElement =>
  formatFields('cpu', cpu, hostCpuTable, { inactive: true, secure: false, migratable: false })

/** A CPU to compare: a guest's or a host's. */
export type AnyCpu = { of: 'host'; cpu: HostCpuDef } | { of: 'guest'; cpu: CpuDef }

/**
 * Reads a CPU that is a document of its own. Without `as` an architecture tells that it is a host's.
 * @throws VIR_ERR_XML_DETAIL, VIR_ERR_XML_ERROR, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_XML_INVALID_SCHEMA
 */
export function parseAnyCpu(
  text: string,
  { as, check }: { as?: 'host'; check?: (root: XmlElement, names: Fields) => void } = {}
): AnyCpu {
  const root = parseXml(text, '(CPU_definition)')
  if (root.name !== 'cpu') throw fail('VIR_ERR_XML_ERROR', "XML does not contain expected 'cpu' element")
  const isHost = as === 'host' || firstChild(root, 'arch') !== undefined
  check?.(root, isHost ? hostCpuTable : cpuNames)
  if (isHost && as === undefined && root.attributes.match !== undefined) {
    throw fail('VIR_ERR_XML_ERROR', "'arch' element cannot be used inside 'cpu' element with 'match' attribute'")
  }
  return isHost ? { of: 'host', cpu: parseHostCpu(root) } : { of: 'guest', cpu: parseCpu(root) }
}
