// <cpu>: the CPU the guest sees, its topology and NUMA cells (virCPUDefParseXML).
import {
  attr,
  attrUnless,
  child,
  childAlways,
  children,
  custom,
  type Def,
  type Field,
  type Fields,
  formatFields,
  nonZero,
  parseFields,
  readFirst,
  required,
  withDefault
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, nonNegativeInt, onOff, type Scalar, string, uint } from '../scalar.ts'
import { childElements, element, firstChild, textOf, type XmlElement } from '../xml.ts'
import { numaField, parseNuma } from './numa.ts'

const fail = errorsFrom('VIR_FROM_CPU')

const VENDOR_ID_LENGTH = 12
const UINT_MAX = 0xffff_ffff

const mode = enumOf('custom', 'host-model', 'host-passthrough', 'maximum')
const fallback = enumOf('allow', 'forbid')
const policy = enumOf('force', 'require', 'optional', 'disable', 'forbid')
export type CpuMode = (typeof mode.values)[number]
export type FeaturePolicy = (typeof policy.values)[number]

/** A value of a scalar, with an error of this element's own instead of the usual one. */
function own<T>(name: string, type: Scalar<T>, error: (text: string) => string): Field<T | undefined> {
  return custom<T | undefined>({
    ...attr(name, type),
    parse({ attributes: { [name]: text } }) {
      const value = text === undefined ? undefined : type.parse(text)
      if (text !== undefined && value === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', error(text))
      return value
    }
  })
}

const cpuAttributes = {
  mode: withDefault(
    own('mode', mode, text => `Invalid mode attribute '${text}'`),
    'custom'
  ),
  match: withDefault(attr('match', enumOf('exact', 'minimum', 'strict')), 'exact'),
  check: attrUnless('check', 'default', enumOf('none', 'partial', 'full')),
  migratable: custom<boolean | undefined>({
    ...attr('migratable', onOff),
    parse(node, context) {
      const migratable = attr('migratable', onOff).parse(node, context)
      if (migratable === undefined || isHost(node.attributes.mode)) return migratable
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        "Attribute migratable is only allowed for 'host-passthrough' / 'maximum' CPU mode"
      )
    }
  }),
  /** false: what QEMU calls deprecated of the model is turned off */
  deprecatedFeatures: attr('deprecated_features', onOff)
} satisfies Fields

/** The model and what belongs to it; the host's own CPU has a name at most. */
export interface CpuModelDef {
  name?: string
  /** allow: another model may stand in for one QEMU does not know */
  fallback: (typeof fallback.values)[number]
  /** vendor string the guest reads, twelve characters */
  vendorId?: string
}

const model: Field<CpuModelDef | undefined> = custom<CpuModelDef | undefined>({
  names: [['model', { fallback: attr('fallback', fallback), vendorId: attr('vendor_id', string) }]],
  parse(node) {
    const found = firstChild(node, 'model')
    if (!found) return undefined
    const name = textOf(found)
    const named = name === '' ? {} : { name }
    if (isHost(node.attributes.mode)) return name === '' ? undefined : { ...named, fallback: 'allow' }
    const { fallback: instead, vendor_id: vendorId } = found.attributes
    const known = fallback.parse(instead || 'allow')
    if (known === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Invalid fallback attribute')
    if (vendorId) checkVendorId(vendorId)
    return { ...named, fallback: known, ...(vendorId && { vendorId }) }
  },
  format(value, into) {
    if (!value || (value.name === undefined && value.vendorId === undefined)) return
    const { name, vendorId } = value
    into.children.push(
      element('model', { fallback: name === undefined ? undefined : value.fallback, vendor_id: vendorId }, [name])
    )
  }
})

/** The text of a child, empty if there is none. */
function childString(node: XmlElement, name: string): string {
  const found = firstChild(node, name)
  return found ? textOf(found) : ''
}

const isHost = (cpuMode: string | undefined) => cpuMode === 'host-passthrough' || cpuMode === 'maximum'

function checkVendorId(vendorId: string): void {
  if (Buffer.byteLength(vendorId) !== VENDOR_ID_LENGTH) {
    throw fail('VIR_ERR_XML_ERROR', `vendor_id must be exactly ${VENDOR_ID_LENGTH} characters long`)
  }
  if (vendorId.includes(',')) throw fail('VIR_ERR_XML_ERROR', 'vendor id is invalid')
}

const vendor: Field<string | undefined> = custom<string | undefined>({
  names: [['vendor', {}]],
  parse(node) {
    const text = childString(node, 'vendor')
    if (text !== '' && childString(node, 'model') === '') {
      throw fail('VIR_ERR_XML_ERROR', 'CPU vendor specified without CPU model')
    }
    return text || undefined
  },
  format(value, into) {
    if (value !== undefined) into.children.push(element('vendor', {}, [value]))
  }
})

const feature = {
  policy: withDefault(
    own('policy', policy, () => 'Invalid CPU feature policy'),
    'require'
  ),
  name: custom<string>({
    ...required(attr('name', string)),
    parse({ attributes: { name } }) {
      if (!name) throw fail('VIR_ERR_XML_ERROR', 'Invalid CPU feature name')
      return name
    }
  })
} satisfies Fields
export type CpuFeatureDef = Def<typeof feature>

const featureList = children('feature', feature)

const features: Field<CpuFeatureDef[]> = custom<CpuFeatureDef[]>({
  ...featureList,
  parse(node, context) {
    const custom = (node.attributes.mode ?? 'custom') === 'custom'
    if (custom && firstChild(node, 'feature') && childString(node, 'model') === '') {
      throw fail('VIR_ERR_XML_ERROR', 'Non-empty feature list specified without CPU model')
    }
    const parsed = featureList.parse(node, context)
    const names = new Set<string>()
    for (const { name } of parsed) {
      if (names.has(name)) throw fail('VIR_ERR_XML_ERROR', `CPU feature '${name}' specified more than once`)
      names.add(name)
    }
    return parsed
  }
})

const CACHE_LEVEL_MAX = 3

const cacheLevel: Field<number | undefined> = custom<number | undefined>({
  ...attr('level', nonNegativeInt),
  parse(node, context) {
    const level = attr('level', nonNegativeInt).parse(node, context)
    if (level === undefined || (level >= 1 && level <= CACHE_LEVEL_MAX)) return level
    throw fail('VIR_ERR_XML_ERROR', `invalid CPU cache level, must be in range [1,${CACHE_LEVEL_MAX}]`)
  }
})

const cache = childAlways('cache', {
  level: cacheLevel,
  mode: required(attr('mode', enumOf('emulate', 'passthrough', 'disable')))
})

const count = (name: string) => nonZero(attr(name, uint))

/** Fields that a guest's CPU and a host's have alike. */
export const cpuCommon = {
  topology: childAlways('topology', {
    sockets: required(count('sockets')),
    dies: withDefault(count('dies'), 1),
    clusters: withDefault(count('clusters'), 1),
    cores: required(count('cores')),
    threads: required(count('threads'))
  }),
  cache: custom({
    ...cache,
    parse(node, context) {
      if (childElements(node, 'cache').length <= 1) return cache.parse(node, context)
      throw fail('VIR_ERR_XML_ERROR', 'at most one CPU cache element may be specified')
    }
  }),
  maxphysaddr: childAlways('maxphysaddr', {
    mode: required(attr('mode', enumOf('emulate', 'passthrough'))),
    bits: attr('bits', nonNegativeInt),
    /** of the host's own width: no more bits than these */
    limit: custom<number | undefined>({
      ...count('limit'),
      parse(node, context) {
        const limit = count('limit').parse(node, context)
        if (limit === undefined || node.attributes.mode === 'passthrough') return limit
        throw fail(
          'VIR_ERR_CONFIG_UNSUPPORTED',
          "attribute 'limit' is only supported for maxphysaddr mode 'passthrough'"
        )
      }
    })
  })
} satisfies Fields

const cpuTable = {
  ...cpuAttributes,
  model,
  vendor,
  ...cpuCommon,
  features,
  numa: numaField
} satisfies Fields
export type CpuDef = Def<typeof cpuTable>

const cpuParsed = readFirst(
  cpuTable,
  'mode',
  'migratable',
  'match',
  'check',
  'deprecatedFeatures',
  'model',
  'vendor',
  'topology',
  'features'
)

/** True if a CPU is asked for, not only a topology, cache or NUMA cells. */
export function hasCpuModel(cpu: CpuDef | undefined): cpu is CpuDef {
  return cpu !== undefined && (cpu.mode !== 'custom' || cpu.model?.name !== undefined)
}

/** The CPU of an element without attributes and children. */
export const emptyCpu = (): CpuDef => ({ mode: 'custom', match: 'exact', features: [] })

/** A check needs a CPU to check (virDomainDefPostParseCPU). @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function checkCpu({ cpu }: { cpu?: CpuDef }): void {
  if (cpu?.check && !hasCpuModel(cpu)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'check attribute specified for CPU with no model')
  }
}

/** vCPUs a topology comes to, undefined without one or if they are more than can be counted. */
export function topologyVcpus(cpu: CpuDef | undefined): number | undefined {
  if (!cpu?.topology) return undefined
  const { sockets, dies, clusters, cores, threads } = cpu.topology
  const total = sockets * dies * clusters * cores * threads
  return total > UINT_MAX ? undefined : total
}

/** Checks that a topology's vCPUs can be counted (virDomainDefGetVcpusTopology). @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateTopology({ cpu }: { cpu?: CpuDef }): void {
  if (cpu?.topology && topologyVcpus(cpu) === undefined) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `cpu topology results in more than ${UINT_MAX} cpus`)
  }
}

/** The CPU as it is written: without attributes if no CPU is asked for, without a model if it is the host's own. */
function shown(cpu: CpuDef): Partial<CpuDef> {
  const {
    mode: cpuMode,
    match,
    check: cpuCheck,
    migratable,
    deprecatedFeatures,
    model: cpuModel,
    vendor: cpuVendor,
    ...rest
  } = cpu
  return {
    ...(hasCpuModel(cpu) && {
      mode: cpuMode,
      ...(cpuMode === 'custom' && { match }),
      ...(cpuCheck && { check: cpuCheck }),
      ...(migratable !== undefined && { migratable }),
      ...(deprecatedFeatures !== undefined && { deprecatedFeatures })
    }),
    ...(!isHost(cpuMode) && { ...(cpuModel && { model: cpuModel }), ...(cpuVendor && { vendor: cpuVendor }) }),
    ...rest
  }
}

/** Reads a guest's `<cpu>` that is a document of its own: nothing of it depends on a domain. */
export const parseCpu = (node: XmlElement): CpuDef => parseFields(node, cpuParsed, { inactive: true })

const PLAIN = { inactive: true, secure: false, migratable: false }

/** A guest's `<cpu>`; its children are what `<mode name='host-model'>` of domain capabilities holds. */
export const formatCpu = (cpu: CpuDef): XmlElement => formatFields('cpu', shown(cpu) as CpuDef, cpuTable, PLAIN)

/** The names of a guest's `<cpu>`. */
export const cpuNames: Fields = cpuTable

export const cpuFields = {
  cpu: custom<CpuDef | undefined>({
    names: child('cpu', cpuTable).names,
    parse(node, context) {
      const found = firstChild(node, 'cpu')
      const cpu = found && parseFields(found, cpuParsed, context)
      const numa = parseNuma(node)
      return cpu && numa ? { ...cpu, numa } : cpu
    },
    format(value, into, context) {
      if (!value) return
      const node = formatFields('cpu', shown(value) as CpuDef, cpuTable, context)
      if (Object.keys(node.attributes).length + node.children.length > 0) into.children.push(node)
    }
  })
} satisfies Fields
