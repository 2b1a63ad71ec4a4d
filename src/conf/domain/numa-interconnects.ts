// <interconnects> of <numa>: latency and bandwidth between guest NUMA cells, told to the guest by ACPI's HMAT.
import { attr, claim, type Name, parseAttribute, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, uint, ulonglong } from '../scalar.ts'
import { attributeAmount, memoryKiB, missingAmount } from '../scaled.ts'
import { childElements, element, firstChild, type XmlElement } from '../xml.ts'
import type { NumaDef } from './numa.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const access = enumOf('access', 'read', 'write')

export interface NumaInterconnect {
  kind: 'latency' | 'bandwidth'
  /** cell the request comes from */
  initiator: number
  /** cell the memory is in */
  target: number
  /** level of the target's cache, 0: its memory */
  cache: number
  access: (typeof access.values)[number]
  /** latency in ns, bandwidth in KiB/s */
  value: bigint
}

const common = {
  initiator: required(attr('initiator', uint)),
  target: required(attr('target', uint)),
  cache: attr('cache', uint),
  type: required(attr('type', access)),
  value: attr('value', string)
}

/** The names it claims below `<numa>`. */
export const numaInterconnectNames: Name[] = [
  ['interconnects', { links: claim(['latency', common], ['bandwidth', { ...common, unit: attr('unit', string) }]) }]
]

/** Reads `<interconnects>` of `<numa>`. @throws VIR_ERR_XML_ERROR */
export function parseInterconnects(numa: XmlElement): NumaInterconnect[] {
  const found = firstChild(numa, 'interconnects')
  if (!found) return []
  return childElements(found).flatMap(node => {
    if (node.name !== 'latency' && node.name !== 'bandwidth') return []
    const value = node.name === 'latency' ? parseLatency(node) : parseBandwidth(node)
    const initiator = common.initiator.parse(node, READ)
    const target = common.target.parse(node, READ)
    const cache = common.cache.parse(node, READ) ?? 0
    return [{ kind: node.name, initiator, target, cache, access: common.type.parse(node, READ), value }]
  })
}

/** These attributes are read the same way from any XML. */
const READ = { inactive: true }

function parseLatency(node: XmlElement): bigint {
  const value = parseAttribute(node, 'value', ulonglong)
  if (value === undefined) throw fail('VIR_ERR_XML_ERROR', "Missing required attribute 'value' in element 'latency'")
  return value
}

function parseBandwidth(node: XmlElement): bigint {
  if (!node.attributes.value) throw missingAmount('./@value')
  return BigInt(memoryKiB(attributeAmount(node, 'value')))
}

/** Writes `<interconnects>`, undefined for none. */
export function formatInterconnects(list: NumaInterconnect[]): XmlElement | undefined {
  if (list.length === 0) return undefined
  const links = list.map(({ kind, initiator, target, cache, access, value }) =>
    element(kind, {
      initiator,
      target,
      cache: cache > 0 ? cache : undefined,
      type: access,
      value,
      unit: kind === 'bandwidth' ? 'KiB' : undefined
    })
  )
  return element('interconnects', {}, links)
}

/** Part of virDomainNumaDefValidate. @throws VIR_ERR_XML_ERROR */
export function checkInterconnects({ cells, interconnects }: NumaDef): void {
  const bad = (message: string) => fail('VIR_ERR_XML_ERROR', message)
  const links = new Set<string>()
  const pairs = new Set<string>()
  for (const one of interconnects) {
    const { kind, initiator, target, cache, access } = one
    const from = cells[initiator]
    const to = cells[target]
    if (!from) throw bad("'initiator' refers to a non-existent NUMA node")
    if (!to) throw bad("'target' refers to a non-existent NUMA node")
    if (from.cpus === undefined) throw bad("NUMA nodes without CPUs can't be initiator")
    if (cache > 0 && !to.caches.some(({ level }) => level === cache)) {
      throw bad("'cache' refers to a non-existent NUMA node cache")
    }
    const link = `${kind} ${initiator} ${target} ${cache} ${access}`
    if (links.has(link)) throw bad('Duplicate info for NUMA latencies')
    if (initiator !== target && pairs.has(`${target} ${initiator}`)) throw bad('Link already defined')
    links.add(link)
    pairs.add(`${initiator} ${target}`)
  }
}
