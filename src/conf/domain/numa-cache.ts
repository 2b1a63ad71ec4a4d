// <cache> of a guest NUMA cell: a memory side cache, told to the guest by ACPI's HMAT.
import { attr, claim, type Fields, nonZero, parseFields, required } from '../element.ts'
import { enumOf, string, uint } from '../scalar.ts'
import { memoryKiB, missingAmount, scaledValue } from '../scaled.ts'
import { element, firstChild, textOf, type XmlElement } from '../xml.ts'

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

const attributes = {
  level: required(nonZero(attr('level', uint))),
  associativity: required(attr('associativity', associativity)),
  policy: required(attr('policy', policy))
} satisfies Fields

/** The names `<cache>` claims. */
export const numaCacheFields = { ...attributes, amounts: claim(['size', amount], ['line', amount]) }

/** Reads `<cache>` of a cell. @throws VIR_ERR_XML_ERROR */
export function parseCache(node: XmlElement): NumaCache {
  const told = parseFields(node, attributes, { inactive: true })
  const sizeKiB = memoryKiB(amountIn(node, 'size'))
  return { ...told, sizeKiB, line: Number(scaledValue(amountIn(node, 'line'), 1n)) }
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
export function formatCache({ level, associativity, policy, sizeKiB, line }: NumaCache): XmlElement {
  return element('cache', { level, associativity, policy }, [
    element('size', { value: sizeKiB, unit: 'KiB' }),
    line > 0 ? element('line', { value: line, unit: 'B' }) : undefined
  ])
}
