// <vcpu> and <vcpus>: number of the guest's CPUs, the host's CPUs they run on, and those that can be unplugged.
import { bitmapAttribute } from '../bitmap.ts'
import type { DomainDef } from '../domain-def.ts'
import { attr, claim, custom, type Fields, type ParseContext, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, uint, uintWrapping, yesNo } from '../scalar.ts'
import { childElements, element, firstChild, textOf, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** More than any QEMU machine takes: above, vCPUs are only counted until the machine's own limit is checked. */
export const LISTED_MAX = 16384

export interface VcpuDef {
  max: number
  /** vCPUs at start, absent: all */
  current?: number
  /** auto: where the host's NUMA daemon advises */
  placement: 'static' | 'auto'
  /** host CPUs all threads of the guest may use, unless they have their own */
  cpuset?: string
}

/** One vCPU of `<vcpus>`. */
export interface VcpuState {
  id: number
  enabled: boolean
  hotpluggable?: boolean
  /** when it is plugged at start, 1 first; absent: not said */
  order?: number
}

const attributes = {
  placement: attr('placement', enumOf('static', 'auto')),
  cpuset: attr('cpuset', string),
  current: attr('current', uint)
}
const state = {
  id: required(attr('id', uint)),
  enabled: required(attr('enabled', yesNo)),
  hotpluggable: attr('hotpluggable', yesNo),
  order: attr('order', uint)
}

export const vcpuFields = {
  vcpu: custom<VcpuDef>({
    names: [['vcpu', attributes]],
    parse(node, context) {
      const found = firstChild(node, 'vcpu')
      const max = vcpuCount(node)
      if (!found) return { max, placement: 'static' }
      const current = attributes.current.parse(found, context)
      const placement = attributes.placement.parse(found, context) ?? 'static'
      const cpuset = placement === 'static' ? bitmapAttribute(found, 'cpuset') : undefined
      const online = onlineCount(node, max, current, context)
      return { max, placement, ...(online !== max && { current: online }), ...(cpuset !== undefined && { cpuset }) }
    },
    format({ max, current, placement, cpuset }, into) {
      const all = cpuset === `0-${LISTED_MAX - 1}`
      into.children.push(element('vcpu', { placement, cpuset: all ? undefined : cpuset, current }, [String(max)]))
    }
  }),
  /** the state of each vCPU, in order of their ids; absent if the user says nothing about single ones */
  vcpus: custom<VcpuState[] | undefined>({
    names: [['vcpus', { vcpu: claim(['vcpu', state]) }]],
    parse: parseStates,
    format(value, into) {
      if (!value) return
      const states = value.map(({ id, enabled, hotpluggable, order }) =>
        element('vcpu', {
          id,
          enabled: yesNo.format(enabled),
          hotpluggable: hotpluggable === undefined ? undefined : yesNo.format(hotpluggable),
          order
        })
      )
      into.children.push(element('vcpus', {}, states))
    }
  })
} satisfies Fields

const vcpuNodes = (domain: XmlElement): XmlElement[] =>
  childElements(domain, 'vcpus').flatMap(list => childElements(list, 'vcpu'))

/** The most vCPUs the guest can have, from `<domain>`. @throws VIR_ERR_XML_ERROR */
export function vcpuCount(domain: XmlElement): number {
  const found = firstChild(domain, 'vcpu')
  const max = found ? uintWrapping.parse(textOf(found)) : 1
  if (max === undefined) throw fail('VIR_ERR_XML_ERROR', 'maximum vcpus count must be an integer')
  return max
}

/** `<vcpus>`: vCPUs that are not named are not there at start. */
function parseStates(domain: XmlElement, context: ParseContext): VcpuState[] | undefined {
  const nodes = vcpuNodes(domain)
  if (nodes.length === 0) return undefined
  const max = vcpuCount(domain)
  const out = Array.from({ length: Math.min(max, LISTED_MAX) }, (_, id): VcpuState => ({ id, enabled: false }))
  for (const one of nodes) {
    const id = state.id.parse(one, context)
    if (id >= max) throw fail('VIR_ERR_XML_ERROR', `vcpu id '${id}' is out of range of maximum vcpu count`)
    const enabled = state.enabled.parse(one, context)
    const hotpluggable = state.hotpluggable.parse(one, context)
    const order = state.order.parse(one, context)
    out[id] = { id, enabled, ...(hotpluggable !== undefined && { hotpluggable }), ...(order && { order }) }
  }
  return out
}

/** vCPUs at start: the enabled ones of `<vcpus>`, else as many as `current` says. */
function onlineCount(domain: XmlElement, max: number, current: number | undefined, context: ParseContext): number {
  const states = parseStates(domain, context)
  if (states) return states.filter(({ enabled }) => enabled).length
  if (current !== undefined && current > max) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'maximum vCPU count must not be less than current vCPU count')
  }
  return current ?? max
}

/** vCPUs there at start. */
export const currentVcpuCount = ({ vcpu }: DomainDef): number => vcpu.current ?? vcpu.max

/** The state of each vCPU, also where the definition only counts them. */
export const vcpuStates = (def: DomainDef): VcpuState[] =>
  def.vcpus ??
  Array.from({ length: Math.min(def.vcpu.max, LISTED_MAX) }, (_, id) => {
    const enabled = id < currentVcpuCount(def)
    return { id, enabled, hotpluggable: !enabled }
  })

/** The definition with that many vCPUs at work. */
export function withVcpuCount(def: DomainDef, count: number): DomainDef {
  const { current: _, ...vcpu } = def.vcpu
  return { ...def, vcpu: { ...vcpu, ...(count !== vcpu.max && { current: count }) } }
}

/** The definition with these vCPUs, each listed. */
export const withVcpus = (def: DomainDef, vcpus: VcpuState[]): DomainDef =>
  withVcpuCount({ ...def, vcpus }, vcpus.filter(({ enabled }) => enabled).length)

/** The definition for at most so many vCPUs, without what was said of others (virDomainDefSetVcpusMax). */
export function withVcpuMax(def: DomainDef, max: number): DomainDef {
  const states = def.vcpus?.slice(0, max).map(({ order: _, ...state }) => state)
  for (let id = states?.length ?? max; id < Math.min(max, LISTED_MAX); id++) states?.push({ id, enabled: false })
  const isLeft = ({ vcpu }: { vcpu: number }) => vcpu < max
  const { cputune } = def
  const count = Math.min(currentVcpuCount(def), max)
  const changed = {
    ...def,
    vcpu: { ...def.vcpu, max },
    ...(states && { vcpus: states }),
    ...(cputune && {
      cputune: {
        ...cputune,
        vcpupins: cputune.vcpupins.filter(isLeft),
        vcpuscheds: cputune.vcpuscheds.filter(isLeft)
      }
    })
  }
  return states ? withVcpus(changed, states) : withVcpuCount(changed, count)
}

/** vCPUs QEMU starts with; the other enabled ones are plugged in before the guest runs. */
export function bootVcpuCount(def: DomainDef): number {
  if (!def.vcpus) return currentVcpuCount(def)
  return def.vcpus.filter(({ enabled, hotpluggable }) => enabled && hotpluggable === false).length
}

/** Enabled vCPUs stay unless the user says else; the others can be plugged (virDomainVcpuDefPostParse). */
export function postParseVcpus(def: DomainDef): void {
  for (const one of def.vcpus ?? []) {
    one.hotpluggable ??= !one.enabled
    if (!one.enabled && !one.hotpluggable) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `vcpu '${one.id}' is both offline and not hotpluggable`)
    }
  }
}

/** With automatic memory placement vCPUs are placed the same way, unless something is pinned (virDomainDefParseXML). */
export function linkVcpuPlacement(def: DomainDef): void {
  const { vcpu, cputune, numatune } = def
  const pinned = cputune && (cputune.vcpupins.length > 0 || cputune.emulatorpin || cputune.iothreadpins.length > 0)
  if (numatune?.memory?.placement === 'auto' && vcpu.cpuset === undefined && !pinned) vcpu.placement = 'auto'
}
