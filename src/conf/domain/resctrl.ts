// <cachetune> and <memorytune> of <cputune>: shares of the host's caches and memory bandwidth for groups of vCPUs
// (Intel RDT through resctrl). Both elements speak of the same groups: one entry for each set of vCPUs.
import { allBits, type Bitmap, formatBitmap, parseBitmap } from '../bitmap.ts'
import { attr, claim, type FormatContext, type Name, type ParseContext, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, uint } from '../scalar.ts'
import { attributeAmount, missingAmount, scaledValue } from '../scaled.ts'
import { childElements, element, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const failResctrl = errorsFrom('VIR_FROM_RESCTRL')

const cacheType = enumOf('both', 'code', 'data')
const TYPES = cacheType.values

/** The level of the only cache that can be monitored. */
const MONITOR_LEVEL = 3

export interface ResctrlDef {
  vcpus: string
  /** name of the group's directory; said in live XML only */
  id: string
  caches: { id: number; level: number; type: (typeof TYPES)[number]; sizeBytes: bigint }[]
  /** memory bandwidth in percent, by host node */
  bandwidths: { id: number; bandwidth: number }[]
  monitors: { of: 'cache' | 'memory'; vcpus: string }[]
}

const cache = {
  id: required(attr('id', uint)),
  level: required(attr('level', uint)),
  type: required(attr('type', cacheType)),
  size: attr('size', string),
  unit: attr('unit', string)
}
const node = { id: required(attr('id', uint)), bandwidth: required(attr('bandwidth', uint)) }
const group = { vcpus: attr('vcpus', string), id: attr('id', string) }
const monitor = { vcpus: attr('vcpus', string), level: attr('level', uint) }

/** The names claimed below `<cputune>`. */
export const resctrlNames: Name[] = [
  ['cachetune', { ...group, children: claim(['cache', cache], ['monitor', monitor]) }],
  ['memorytune', { ...group, children: claim(['node', node], ['monitor', monitor]) }]
]

/** Reads every group. @param vcpus how many vCPUs the guest can have */
export function parseResctrl(cputune: XmlElement, vcpus: number, context: ParseContext): ResctrlDef[] {
  const groups: ResctrlDef[] = []
  for (const one of childElements(cputune, 'cachetune')) {
    const bits = parseVcpus(one, vcpus)
    if (bits === 0n) continue
    if (findGroup(groups, bits)) throw fail('VIR_ERR_XML_ERROR', 'Identical vcpus in cachetunes found')
    const caches = parseCaches(one)
    const found = newGroup(one, bits, context)
    found.caches = caches
    addMonitors(one, 'cache', found, vcpus)
    if (caches.length + found.monitors.length > 0) groups.push(found)
  }
  for (const one of childElements(cputune, 'memorytune')) {
    const bits = parseVcpus(one, vcpus)
    if (bits === 0n) continue
    const existing = findGroup(groups, bits)
    const found = existing ?? newGroup(one, bits, context)
    for (const child of childElements(one, 'node')) addBandwidth(child, found)
    addMonitors(one, 'memory', found, vcpus)
    if (!existing && found.bandwidths.length + found.monitors.length > 0) groups.push(found)
  }
  return groups
}

function parseVcpus(of: XmlElement, vcpus: number): Bitmap {
  const text = of.attributes.vcpus
  if (text === undefined) throw fail('VIR_ERR_XML_ERROR', `Missing ${of.name} attribute 'vcpus'`)
  try {
    return parseBitmap(text) & allBits(vcpus)
  } catch {
    throw fail('VIR_ERR_XML_ERROR', `Invalid ${of.name} attribute 'vcpus' value '${text}'`)
  }
}

/** virDomainResctrlVcpuMatch. */
function findGroup(groups: ResctrlDef[], bits: Bitmap): ResctrlDef | undefined {
  for (const one of groups) {
    const its = parseBitmap(one.vcpus)
    if (its === bits) return one
    if ((its & bits) !== 0n) throw fail('VIR_ERR_XML_ERROR', 'Overlapping vcpus in resctrls')
  }
  return undefined
}

function newGroup(of: XmlElement, bits: Bitmap, { inactive }: ParseContext): ResctrlDef {
  const vcpus = formatBitmap(bits)
  const id = (inactive ? undefined : of.attributes.id) ?? `vcpus_${vcpus}`
  return { vcpus, id, caches: [], bandwidths: [], monitors: [] }
}

const READ = { inactive: true }

/** Reads all `<cache>` of a group. A cache for both code and data has no other beside it. */
function parseCaches(of: XmlElement): ResctrlDef['caches'] {
  const caches: ResctrlDef['caches'] = []
  const taken = new Set<string>()
  for (const one of childElements(of, 'cache')) {
    const id = cache.id.parse(one, READ)
    const level = cache.level.parse(one, READ)
    const type = cache.type.parse(one, READ)
    const sizeBytes = scaledValue(attributeAmount(one, 'size'))
    if (sizeBytes === undefined) throw missingAmount('./@size')
    const collides = (type === 'both' ? TYPES : [type, 'both']).some(other => taken.has(`${level} ${id} ${other}`))
    if (collides) {
      throw failResctrl(
        'VIR_ERR_XML_ERROR',
        `Colliding cache allocations for cache level '${level}' id '${id}', type '${type}'`
      )
    }
    taken.add(`${level} ${id} ${type}`)
    caches.push({ id, level, type, sizeBytes })
  }
  return caches
}

function addBandwidth(of: XmlElement, { bandwidths }: ResctrlDef): void {
  const id = node.id.parse(of, READ)
  const bandwidth = node.bandwidth.parse(of, READ)
  if (bandwidths.some(one => one.id === id)) {
    throw failResctrl('VIR_ERR_XML_ERROR', `Memory Bandwidth already defined for node ${id}`)
  }
  bandwidths.push({ id, bandwidth })
}

function addMonitors(of: XmlElement, kind: 'cache' | 'memory', group: ResctrlDef, vcpus: number): void {
  for (const one of childElements(of, 'monitor')) {
    if (kind === 'cache') {
      const level = required(monitor.level).parse(one, READ)
      if (level !== MONITOR_LEVEL) throw fail('VIR_ERR_XML_ERROR', `Invalid monitor cache level '${level}'`)
    }
    const bits = parseVcpus(one, vcpus)
    checkMonitor(group, kind, bits)
    group.monitors.push({ of: kind, vcpus: formatBitmap(bits) })
  }
}

/** virDomainResctrlValidateMonitor: within its group, monitors share no vCPU unless one covers them all. */
function checkMonitor(group: ResctrlDef, kind: 'cache' | 'memory', bits: Bitmap): void {
  const bad = (message: string) => fail('VIR_ERR_INVALID_ARG', message)
  const all = parseBitmap(group.vcpus)
  if (bits === 0n) throw bad('vcpus is empty')
  if ((bits & ~all) !== 0n) throw bad('Monitor vcpus conflicts with allocation')
  const onlyMonitors = group.caches.length === 0 && group.bandwidths.length === 0
  let overlapsAny = false
  let overlapsPart = false
  for (const other of group.monitors) {
    const its = parseBitmap(other.vcpus)
    if (its === bits) {
      if (other.of !== kind) continue
      throw bad('Identical vcpus found in same type monitors')
    }
    if ((its & bits) === 0n) continue
    overlapsAny = true
    if (bits !== all && its !== all) overlapsPart = true
  }
  if (overlapsPart || (onlyMonitors && overlapsAny)) throw bad('vcpus overlaps in resctrl groups')
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** The largest unit that needs no fraction (virFormatIntPretty). */
function prettySize(bytes: bigint): { size: bigint; unit: string } {
  let size = bytes
  let unit = 0
  while (size !== 0n && size % 1024n === 0n && unit < UNITS.length - 1) {
    size /= 1024n
    unit++
  }
  return { size, unit: UNITS[unit]! }
}

/** All `<cachetune>`, then all `<memorytune>`. */
export function formatResctrl(groups: ResctrlDef[], context: FormatContext): XmlElement[] {
  const attributes = ({ vcpus, id }: ResctrlDef) => ({ vcpus, id: context.inactive ? undefined : id })
  const wrap = (name: string, group: ResctrlDef, children: XmlElement[]) =>
    children.length > 0 ? [element(name, attributes(group), children)] : []
  return [
    ...groups.flatMap(group =>
      wrap('cachetune', group, [
        ...[...group.caches]
          .sort(byPlace)
          .map(({ id, level, type, sizeBytes }) => element('cache', { id, level, type, ...prettySize(sizeBytes) })),
        ...monitorsOf(group, 'cache').map(({ vcpus }) => element('monitor', { level: MONITOR_LEVEL, vcpus }))
      ])
    ),
    ...groups.flatMap(group =>
      wrap('memorytune', group, [
        ...[...group.bandwidths].sort((a, b) => a.id - b.id).map(one => element('node', { ...one })),
        ...monitorsOf(group, 'memory').map(({ vcpus }) => element('monitor', { vcpus }))
      ])
    )
  ]
}

const monitorsOf = ({ monitors }: ResctrlDef, kind: 'cache' | 'memory') => monitors.filter(one => one.of === kind)

const byPlace = (a: ResctrlDef['caches'][number], b: ResctrlDef['caches'][number]) =>
  a.level - b.level || TYPES.indexOf(a.type) - TYPES.indexOf(b.type) || a.id - b.id
