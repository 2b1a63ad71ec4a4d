// <cache> of a guest NUMA cell: a memory side cache, told to the guest by ACPI's HMAT.
import { attr, claim } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, uint } from '../scalar.ts'
import { memoryKiB, missingAmount, scaledValue } from '../scaled.ts'
import { element, firstChild, textOf, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const associativity = enumOf('none', 'direct', 'full')
const policy = enumOf('none', 'writeback', 'writethrough')

export interface NumaCache {
  level: number
  sizeKiB: number
  /** line size in bytes, 0: not told */
  line: number
  associativity: (typeof associativity.values)[number]
  policy: (typeof policy.values)[number]
}

const amount = { value: attr('value', string), unit: attr('unit', string) }

/** The names `<cache>` claims. */
export const numaCacheFields = {
  level: attr('level', uint),
  associativity: attr('associativity', associativity),
  policy: attr('policy', policy),
  amounts: claim(['size', amount], ['line', amount])
}

/** Reads `<cache>` of a cell. @throws VIR_ERR_XML_ERROR */
export function parseCache(node: XmlElement, cell: number): NumaCache {
  const need = (name: string) => {
    const text = node.attributes[name]
    if (text !== undefined) return text
    throw fail('VIR_ERR_XML_ERROR', `Missing '${name}' attribute in cache element for NUMA node ${cell}`)
  }
  const level = uint.parse(need('level'))
  if (!level) throw fail('VIR_ERR_XML_ERROR', `Invalid 'level' attribute in cache element for NUMA node ${cell}`)
  const associativityText = need('associativity')
  const associative = associativity.parse(associativityText)
  if (!associative) throw fail('VIR_ERR_XML_ERROR', `Invalid cache associativity '${associativityText}'`)
  const { policy: policyText = '(null)' } = node.attributes
  const written = policy.parse(policyText)
  if (!written) throw fail('VIR_ERR_XML_ERROR', `Invalid cache policy '${policyText}'`)
  const sizeKiB = memoryKiB(amountIn(node, 'size'))
  return {
    level,
    sizeKiB,
    line: Number(scaledValue(amountIn(node, 'line'), 1n)),
    associativity: associative,
    policy: written
  }
}

/** The amount in a child's `value`; libvirt looks for the unit in a child `<unit>`. */
function amountIn(node: XmlElement, name: string) {
  const found = firstChild(node, name)
  const path = `./${name}/@value`
  if (!found?.attributes.value) throw missingAmount(path)
  const unit = firstChild(found, 'unit')
  return { text: found.attributes.value, unit: unit && textOf(unit), path }
}

/** Writes `<cache>` of a cell. */
export function formatCache(cache: NumaCache): XmlElement {
  const shown = (value: string) => (value === 'none' ? undefined : value)
  return element(
    'cache',
    { level: cache.level, associativity: shown(cache.associativity), policy: shown(cache.policy) },
    [
      element('size', { value: cache.sizeKiB, unit: 'KiB' }),
      cache.line > 0 ? element('line', { value: cache.line, unit: 'B' }) : undefined
    ]
  )
}
