// <memory>, <currentMemory>, <maxMemory>, <memoryBacking>, <memtune>; sizes are KiB.
import { attr, childAlways, childAttr, custom, type Field, type Fields, flag } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff, string, uint, unitFactor } from '../scalar.ts'
import { element, firstChild, textOf, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** The largest amount libvirt takes, in bytes: what a signed long long holds. */
const MAX_BYTES = 2n ** 63n - 1n

/** Reads an amount with its unit and rounds it up to KiB. @throws VIR_ERR_XML_ERROR, VIR_ERR_OVERFLOW, VIR_ERR_INVALID_ARG */
export function parseKiB(node: XmlElement, unitAttribute = 'unit'): number {
  const content = textOf(node).trim()
  if (!/^\+?\d+$/.test(content)) {
    throw fail('VIR_ERR_XML_ERROR', `Invalid value '${content}' for element or attribute './${node.name}[1]'`)
  }
  const unit = node.attributes[unitAttribute] || 'KiB'
  const factor = unitFactor(unit)
  if (factor === undefined) throw fail('VIR_ERR_INVALID_ARG', `unknown suffix '${unit}'`)
  const bytes = BigInt(content) * factor
  if (bytes > MAX_BYTES) throw fail('VIR_ERR_OVERFLOW', `value too large: ${content}${unit}`)
  return Number((bytes + 1023n) / 1024n)
}

/** A child element holding an amount of memory. */
export function childKiB(name: string): Field<number | undefined> {
  return {
    names: [[name, { unit: attr('unit', string) }]],
    parse(node) {
      const found = firstChild(node, name)
      return found && parseKiB(found)
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, { unit: 'KiB' }, [String(value)]))
    }
  }
}

const memoryElement: Field<number> = custom<number>({
  names: [['memory', { unit: attr('unit', string), dumpCore: attr('dumpCore', onOff) }]],
  parse(node) {
    const found = firstChild(node, 'memory')
    return found ? parseKiB(found) : 0
  },
  format(value, into) {
    const dumpCore = undefined
    into.children.push(element('memory', { dumpCore, unit: 'KiB' }, [String(value)]))
  }
})

export const memoryFields = {
  maxMemory: custom<{ slots: number; sizeKiB: number } | undefined>({
    names: [['maxMemory', { unit: attr('unit', string), slots: attr('slots', uint) }]],
    parse(node, context) {
      const found = firstChild(node, 'maxMemory')
      if (!found) return undefined
      const slots = attr('slots', uint).parse(found, context) ?? 0
      return { slots, sizeKiB: parseKiB(found) }
    },
    format(value, into) {
      if (value) into.children.push(element('maxMemory', { slots: value.slots, unit: 'KiB' }, [String(value.sizeKiB)]))
    }
  }),
  /** `dumpCore` of `<memory>`; written into that element */
  memoryKiB: memoryElement,
  dumpCore: custom<boolean | undefined>({
    names: [],
    parse(node, context) {
      const found = firstChild(node, 'memory')
      return found && attr('dumpCore', onOff).parse(found, context)
    },
    format(value, into) {
      const node = firstChild(into, 'memory')
      if (node && value !== undefined) node.attributes = { dumpCore: onOff.format(value), ...node.attributes }
    }
  }),
  currentMemoryKiB: childKiB('currentMemory'),
  memtune: childAlways('memtune', {
    hardLimitKiB: childKiB('hard_limit'),
    softLimitKiB: childKiB('soft_limit'),
    minGuaranteeKiB: childKiB('min_guarantee'),
    swapHardLimitKiB: childKiB('swap_hard_limit')
  }),
  memoryBacking: childAlways('memoryBacking', {
    hugepages: custom<{ sizeKiB: number; nodeset?: string }[] | undefined>({
      names: [['hugepages', { page: attr('page', string) }]],
      parse(node, context) {
        const found = firstChild(node, 'hugepages')
        return found && hugepages.parse({ ...found, name: 'hugepages' }, context)
      },
      format(value, into, context) {
        if (value === undefined) return
        const node = element('hugepages')
        hugepages.format(value, node, context)
        into.children.push(node)
      }
    }),
    nosharepages: flag('nosharepages'),
    locked: flag('locked'),
    source: childAttr('source', 'type', enumOf('file', 'anonymous', 'memfd')),
    access: childAttr('access', 'mode', enumOf('shared', 'private')),
    allocation: childAlways('allocation', {
      mode: attr('mode', enumOf('immediate', 'ondemand')),
      threads: attr('threads', uint)
    }),
    discard: flag('discard')
  })
} satisfies Fields

const hugepages: Field<{ sizeKiB: number; nodeset?: string }[]> = {
  names: ['page'],
  parse(node) {
    return node.children.flatMap(child => {
      if (typeof child === 'string' || child.name !== 'page') return []
      const unit = child.attributes.unit || 'KiB'
      const content = child.attributes.size
      if (content === undefined) throw fail('VIR_ERR_XML_ERROR', "Missing required attribute 'size' in element 'page'")
      const sizeKiB = parseKiB({ name: 'page', attributes: { unit }, children: [content] })
      if (sizeKiB === 0) throw fail('VIR_ERR_XML_DETAIL', "hugepage size can't be zero")
      return [{ sizeKiB, ...(child.attributes.nodeset !== undefined && { nodeset: child.attributes.nodeset }) }]
    })
  },
  format(values, into) {
    for (const { sizeKiB, nodeset } of values)
      into.children.push(element('page', { size: sizeKiB, unit: 'KiB', nodeset }))
  }
}

/** virDomainDefPostParseMemory: sizes that follow from others. */
export function postParseMemory(def: { memoryKiB: number; currentMemoryKiB?: number }): void {
  if (def.memoryKiB === 0)
    throw fail('VIR_ERR_XML_ERROR', 'Memory size must be specified via <memory> or in the <numa> configuration')
  if (def.currentMemoryKiB === undefined || def.currentMemoryKiB > def.memoryKiB) def.currentMemoryKiB = def.memoryKiB
}
