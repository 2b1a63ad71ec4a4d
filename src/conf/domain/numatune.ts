// <numatune>: host NUMA nodes the guest's memory comes from.
import { type Bitmap, parseBitmap, requireBits } from '../bitmap.ts'
import type { DomainDef } from '../domain-def.ts'
import { attr, claim, custom, type Fields, parseAttribute, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, uint } from '../scalar.ts'
import { childElements, element, firstChild, type XmlElement } from '../xml.ts'
import { parseNuma } from './numa.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const mode = enumOf('strict', 'preferred', 'interleave', 'restrictive')
export type NumatuneMode = (typeof mode.values)[number]
/** In the order of virDomainNumatuneMemMode. */
export const NUMATUNE_MODES = mode.values

export interface NumatuneDef {
  /** all memory that has no rule of its own */
  memory?: { mode: NumatuneMode; placement: 'static' | 'auto'; nodeset?: string }
  /** rules of single guest NUMA cells, by cell */
  memnodes: { cellid: number; mode: NumatuneMode; nodeset: string }[]
}

const memory = {
  mode: attr('mode', mode),
  placement: attr('placement', enumOf('static', 'auto')),
  nodeset: attr('nodeset', string)
}
const memnode = {
  cellid: required(attr('cellid', uint)),
  mode: attr('mode', mode),
  nodeset: attr('nodeset', string)
}

export const numatuneFields = {
  numatune: custom<NumatuneDef | undefined>({
    names: [['numatune', { children: claim(['memory', memory], ['memnode', memnode]) }]],
    parse(node) {
      if (childElements(node, 'numatune').length > 1) {
        throw fail('VIR_ERR_XML_ERROR', 'only one numatune is supported')
      }
      const found = firstChild(node, 'numatune')
      const isStatic = firstChild(node, 'vcpu')?.attributes.placement !== 'auto'
      const all = parseMemory(found && firstChild(found, 'memory'), isStatic)
      // faults of the cells are reported before those of their tuning
      const rules = found ? childElements(found, 'memnode') : []
      const memnodes = rules.length > 0 ? parseMemnodes(rules, all, parseNuma(node)?.cells.length ?? 0) : []
      return all || memnodes.length > 0 ? { ...(all && { memory: all }), memnodes } : undefined
    },
    format(value, into) {
      if (!value) return
      const node = element('numatune')
      if (value.memory) {
        const { mode, placement, nodeset } = value.memory
        node.children.push(element('memory', placement === 'auto' ? { mode, placement } : { mode, nodeset }))
      }
      for (const { cellid, mode, nodeset } of value.memnodes) {
        node.children.push(element('memnode', { cellid, mode, nodeset }))
      }
      into.children.push(node)
    }
  })
} satisfies Fields

/** virDomainNumatuneParseXML and virDomainNumatuneSet: a missing placement follows from the nodeset and the vCPUs'. */
function parseMemory(node: XmlElement | undefined, isStatic: boolean): NumatuneDef['memory'] {
  if (!node) return isStatic ? undefined : { mode: 'strict', placement: 'auto' }
  const { mode: modeText, placement: placementText, nodeset: nodesetText } = node.attributes
  const kind = modeText === undefined ? 'strict' : mode.parse(modeText)
  if (!kind) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Unsupported NUMA memory tuning mode '${modeText}'`)
  if (placementText !== undefined && !['default', 'static', 'auto'].includes(placementText)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Unsupported NUMA memory placement mode '${placementText}'`)
  }
  const nodeset = nodesetText === undefined ? undefined : requireBits(nodesetText, 'nodeset')
  if (modeText === undefined && placementText === undefined && nodeset === undefined) return undefined
  const given = placementText === 'static' || placementText === 'auto' ? placementText : undefined
  const placement = given ?? (nodeset !== undefined || isStatic ? 'static' : 'auto')
  if (placement === 'auto') return { mode: kind, placement }
  if (nodeset === undefined) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "nodeset for NUMA memory tuning must be set if 'placement' is 'static'")
  }
  return { mode: kind, placement, nodeset }
}

/** virDomainNumatuneNodeParseXML. */
function parseMemnodes(nodes: XmlElement[], all: NumatuneDef['memory'], cells: number): NumatuneDef['memnodes'] {
  if (all?.placement === 'auto') {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Per-node binding is not compatible with automatic NUMA placement.')
  }
  const bad = (message: string) => fail('VIR_ERR_XML_ERROR', message)
  if (cells === 0) throw bad("Element 'memnode' is invalid without any guest NUMA cells")
  const out = new Map<number, NumatuneDef['memnodes'][number]>()
  for (const node of nodes) {
    const cellid = memnode.cellid.parse(node, { inactive: true })
    if (cellid >= cells) {
      throw bad("Argument 'cellid' in memnode element must correspond to existing guest's NUMA cell")
    }
    if (out.has(cellid)) throw bad(`Multiple memnode elements with cellid ${cellid}`)
    const kind = parseAttribute(node, 'mode', mode) ?? 'strict'
    if (node.attributes.nodeset === undefined) throw bad('Missing required nodeset attribute in memnode element')
    out.set(cellid, { cellid, mode: kind, nodeset: requireBits(node.attributes.nodeset, 'nodeset') })
  }
  return [...out.values()].sort((a, b) => a.cellid - b.cellid)
}

/** Restrictive is all or nothing (virDomainNumaDefValidate). @throws VIR_ERR_XML_ERROR */
export function validateNumatune({ numatune }: { numatune?: NumatuneDef }): void {
  const isRestrictive = numatune?.memory?.mode === 'restrictive'
  for (const { mode: kind } of numatune?.memnodes ?? []) {
    if (isRestrictive === (kind === 'restrictive')) continue
    const [missing, given] = isRestrictive ? ['memnode', 'memory'] : ['memory', 'memnode']
    throw fail(
      'VIR_ERR_XML_ERROR',
      `'restrictive' mode is required in ${missing} element when mode is 'restrictive' in ${given} element`
    )
  }
}

/** The mode memory of a guest cell is allocated with; without a cell, that of all memory. */
export function numatuneMode({ numatune }: DomainDef, cell?: number): NumatuneMode {
  return numatune?.memnodes.find(({ cellid }) => cellid === cell)?.mode ?? numatune?.memory?.mode ?? 'strict'
}

/** Host nodes memory of a guest cell comes from, undefined: any. */
export function numatuneNodeset({ numatune }: DomainDef, cell?: number): string | undefined {
  return numatune?.memnodes.find(({ cellid }) => cellid === cell)?.nodeset ?? numatune?.memory?.nodeset
}

/** The host nodes of all memory, then those of single cells. */
export function numatuneNodesets({ numatune }: DomainDef): Bitmap[] {
  const sets = [numatune?.memory?.nodeset, ...(numatune?.memnodes ?? []).map(({ nodeset }) => nodeset)]
  return sets.flatMap(set => (set === undefined ? [] : parseBitmap(set)))
}
