// <numa> of <cpu>: the guest's NUMA cells, their distances and caches; the links between them: numa-interconnects.ts.
import { allBits, type Bitmap, bitsOf, countBits, formatBitmap, parseBitmap } from '../bitmap.ts'
import type { DomainDef } from '../domain-def.ts'
import { attr, claim, custom, type Field, parseAttribute } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, uint, yesNo } from '../scalar.ts'
import { attributeAmount, memoryKiB, missingAmount } from '../scaled.ts'
import { childElements, element, firstChild, type XmlElement } from '../xml.ts'
import { formatCache, type NumaCache, numaCacheFields, parseCache } from './numa-cache.ts'
import {
  checkInterconnects,
  formatInterconnects,
  type NumaInterconnect,
  numaInterconnectNames,
  parseInterconnects
} from './numa-interconnects.ts'
import { LISTED_MAX, vcpuCount } from './vcpu.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Distances as ACPI's SLIT counts them. */
export const LOCAL_DISTANCE = 10
export const REMOTE_DISTANCE = 20
const UNREACHABLE = 255

export const memoryAccess = enumOf('shared', 'private')
export type MemoryAccess = (typeof memoryAccess.values)[number]

/** A guest NUMA cell; its id is its place in the list. */
export interface NumaCell {
  /** vCPUs, in libvirt's notation; absent for a cell of memory only */
  cpus?: string
  memoryKiB: number
  memAccess?: MemoryAccess
  discard?: boolean
  /** by cell id, those that are known */
  distances?: Record<number, number>
  caches: NumaCache[]
}

export interface NumaDef {
  cells: NumaCell[]
  interconnects: NumaInterconnect[]
}

/** The guest's NUMA cells, none without `<numa>`. */
export const numaCells = (def: DomainDef): NumaCell[] => def.cpu?.numa?.cells ?? []

/** The bits of a cell's vCPUs. */
export const cellCpus = ({ cpus }: NumaCell): Bitmap => (cpus === undefined ? 0n : parseBitmap(cpus))

/** The distance between two cells, given or ACPI's default. */
export function cellDistance(cells: NumaCell[], from: number, to: number): number {
  return cells[from]?.distances?.[to] ?? (from === to ? LOCAL_DISTANCE : REMOTE_DISTANCE)
}

const sibling = { id: attr('id', uint), value: attr('value', uint) }
const cellNames = {
  id: attr('id', uint),
  cpus: attr('cpus', string),
  memory: attr('memory', string),
  unit: attr('unit', string),
  memAccess: attr('memAccess', memoryAccess),
  discard: attr('discard', yesNo),
  children: claim(['distances', { sibling: claim(['sibling', sibling]) }], ['cache', numaCacheFields])
}

/** Names and form of `<numa>`, last in `<cpu>`; it is read by parseNuma, as it depends on the domain's vCPUs. */
export const numaField: Field<NumaDef | undefined> = custom<NumaDef | undefined>({
  names: [['numa', { children: claim(['cell', cellNames], ...numaInterconnectNames) }]],
  parse: () => undefined,
  format(value, into) {
    if (value === undefined || value.cells.length === 0) return
    const cells = value.cells.map(formatCell)
    into.children.push(element('numa', {}, [...cells, formatInterconnects(value.interconnects)]))
  }
})

/**
 * Reads `<numa>` of `<domain>`'s CPUs (virDomainNumaDefParseXML). The cells' vCPUs must be the guest's.
 * @throws VIR_ERR_XML_ERROR, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_INTERNAL_ERROR
 */
export function parseNuma(domain: XmlElement): NumaDef | undefined {
  const found = childElements(domain, 'cpu').flatMap(cpu => firstChild(cpu, 'numa') ?? [])
  const cells = found.length === 0 ? [] : parseCells(found.flatMap(numa => childElements(numa, 'cell')))
  const interconnects = found.flatMap(parseInterconnects)
  checkVcpus(cells, vcpuCount(domain))
  return found.length === 0 ? undefined : { cells, interconnects }
}

function checkVcpus(cells: NumaCell[], max: number): void {
  const bits = cells.map(cellCpus)
  if (bits.reduce((sum, cpus) => sum + countBits(cpus), 0) > max) {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'Number of CPUs in <numa> exceeds the <vcpu> count')
  }
  // libvirt takes the highest of none for 0, even without cells
  if (max === 0 || bits.some(cpus => (bitsOf(cpus).at(-1) ?? 0) >= max)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'CPU IDs in <numa> exceed the <vcpu> count')
  }
}

function parseCells(nodes: XmlElement[]): NumaCell[] {
  if (nodes.length === 0) throw fail('VIR_ERR_XML_ERROR', 'NUMA topology defined without NUMA cells')
  const cells: NumaCell[] = nodes.map(() => ({ memoryKiB: 0, caches: [] }))
  let taken = 0n
  nodes.forEach((node, position) => {
    const id = parseAttribute(node, 'id', uint) ?? position
    const cell = cells[id]
    if (!cell) {
      throw fail(
        'VIR_ERR_XML_ERROR',
        "Exactly one 'cell' element per guest NUMA cell allowed, " +
          'non-contiguous ranges or ranges not starting from 0 are not allowed'
      )
    }
    if (cell.memoryKiB !== 0) throw fail('VIR_ERR_XML_ERROR', `Duplicate NUMA cell info for cell id '${id}'`)
    const cpus = node.attributes.cpus === undefined ? 0n : parseBitmap(node.attributes.cpus)
    if ((taken & cpus) !== 0n) {
      const other = cells.findIndex(one => (cellCpus(one) & cpus) !== 0n)
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `NUMA cells ${id} and ${other} have overlapping vCPU ids`)
    }
    taken |= cpus
    if (cpus !== 0n) cell.cpus = formatBitmap(cpus)
    parseCell(node, cell, id, cells)
  })
  return cells
}

function parseCell(node: XmlElement, cell: NumaCell, id: number, cells: NumaCell[]): void {
  if (!node.attributes.memory) throw missingAmount('./@memory')
  cell.memoryKiB = memoryKiB(attributeAmount(node, 'memory'))
  const memAccess = parseAttribute(node, 'memAccess', memoryAccess)
  if (memAccess !== undefined) cell.memAccess = memAccess
  const discard = parseAttribute(node, 'discard', yesNo)
  if (discard !== undefined) cell.discard = discard
  const distances = firstChild(node, 'distances')
  if (distances) parseDistances(distances, id, cells)
  cell.caches = childElements(node, 'cache').map(cache => parseCache(cache))
}

/** One cell's distances; the way back is the same unless the other cell says so itself. */
function parseDistances(node: XmlElement, id: number, cells: NumaCell[]): void {
  const siblings = childElements(node, 'sibling')
  if (siblings.length === 0) throw fail('VIR_ERR_XML_ERROR', 'NUMA distances defined without siblings')
  const distancesOf = (cell: number): Record<number, number> => {
    const of = cells[cell]!
    of.distances ??= { [cell]: LOCAL_DISTANCE }
    return of.distances
  }
  for (const one of siblings) {
    const sibling = requireUint(one, 'id')
    if (sibling >= cells.length) {
      throw fail(
        'VIR_ERR_XML_ERROR',
        `'sibling_id ${sibling}' does not refer to a valid cell within NUMA 'cell id ${id}'`
      )
    }
    const value = requireUint(one, 'value')
    if (value < LOCAL_DISTANCE || value > UNREACHABLE || (sibling === id) !== (value === LOCAL_DISTANCE)) {
      throw fail(
        'VIR_ERR_XML_ERROR',
        `'value ${value}' is invalid for 'sibling id ${sibling}' under NUMA 'cell id ${id}'`
      )
    }
    distancesOf(id)[sibling] = value
    distancesOf(sibling)[id] ??= value
  }
}

function requireUint(node: XmlElement, name: string): number {
  const value = parseAttribute(node, name, uint)
  if (value === undefined) {
    throw fail('VIR_ERR_XML_ERROR', `Missing required attribute '${name}' in element '${node.name}'`)
  }
  return value
}

function formatCell(cell: NumaCell, id: number): XmlElement {
  const { cpus, memoryKiB, memAccess, discard, distances } = cell
  const siblings = Object.entries(distances ?? {}).map(([sibling, value]) => element('sibling', { id: sibling, value }))
  return element(
    'cell',
    {
      id,
      cpus,
      memory: memoryKiB,
      unit: 'KiB',
      memAccess,
      discard: discard === undefined ? undefined : yesNo.format(discard)
    },
    [siblings.length > 0 ? element('distances', {}, siblings) : undefined, ...cell.caches.map(formatCache)]
  )
}

/** vCPUs no cell names belong to cell 0 (qemuDomainDefNumaCPUsRectify). */
export function fillNumaCpus(def: DomainDef): void {
  const [first, ...others] = numaCells(def)
  if (!first || def.vcpu.max > LISTED_MAX) return
  const elsewhere = others.reduce((bits, cell) => bits | cellCpus(cell), 0n)
  const all = allBits(def.vcpu.max)
  if (countBits(elsewhere | cellCpus(first)) < def.vcpu.max) first.cpus = formatBitmap(all & ~elsewhere)
}

/** virDomainNumaDefValidate. @throws VIR_ERR_XML_ERROR */
export function validateNuma(def: DomainDef): void {
  const numa = def.cpu?.numa
  if (!numa) return
  for (const { caches } of numa.cells) {
    const seen = new Set<number>()
    for (const { level } of caches) {
      if (level > 3) throw fail('VIR_ERR_XML_ERROR', "Ain't nobody heard of that much cache level")
      if (seen.has(level)) throw fail('VIR_ERR_XML_ERROR', `Cache level '${level}' already defined`)
      seen.add(level)
    }
  }
  checkInterconnects(numa)
}

/** True if the guest is told latencies or caches, by ACPI's HMAT. */
export function hasHmat(def: DomainDef): boolean {
  const numa = def.cpu?.numa
  return numa !== undefined && (numa.interconnects.length > 0 || numa.cells.some(({ caches }) => caches.length > 0))
}
