// <maxMemory>, <memory> and <currentMemory>: sizes of the guest's memory, in KiB.
import type { DomainDef } from '../domain-def.ts'
import { attr, custom, type Fields, parseAttribute } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { onOff, string, uint } from '../scalar.ts'
import { childAmount, memoryKiB } from '../scaled.ts'
import { element, firstChild } from '../xml.ts'
import { numaCells } from './numa.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** The ceiling for memory hotplug: slots for modules, and the size of all memory with them. */
export interface MaxMemory {
  slots: number
  sizeKiB: number
}

export const memoryFields = {
  maxMemory: custom<MaxMemory | undefined>({
    names: [['maxMemory', { unit: attr('unit', string), slots: attr('slots', uint) }]],
    parse(node) {
      const sizeKiB = memoryKiB(childAmount(node, 'maxMemory', './maxMemory[1]'))
      const text = firstChild(node, 'maxMemory')?.attributes.slots
      const slots = text ? uint.parse(text) : 0
      if (slots === undefined) throw fail('VIR_ERR_XML_ERROR', 'Failed to parse memory slot count')
      return slots > 0 || sizeKiB > 0 ? { slots, sizeKiB } : undefined
    },
    format(value, into) {
      if (value)
        into.children.push(
          element('maxMemory', { slots: value.slots || undefined, unit: 'KiB' }, [String(value.sizeKiB)])
        )
    }
  }),
  /** all memory: the initial and that of memory devices */
  memoryKiB: custom<number>({
    names: [['memory', { unit: attr('unit', string), dumpCore: attr('dumpCore', onOff) }]],
    parse: node => memoryKiB(childAmount(node, 'memory', './memory[1]')),
    format(value, into) {
      into.children.push(element('memory', { unit: 'KiB' }, [String(value)]))
    }
  }),
  /** `dumpCore` of `<memory>`, written into that element */
  dumpCore: custom<boolean | undefined>({
    names: [],
    parse(node) {
      const found = firstChild(node, 'memory')
      return found && parseAttribute(found, 'dumpCore', onOff)
    },
    format(value, into) {
      const node = firstChild(into, 'memory')
      if (node && value !== undefined) node.attributes = { dumpCore: onOff.format(value), ...node.attributes }
    }
  }),
  /** memory the guest may use now, the balloon's size */
  currentMemoryKiB: custom<number | undefined>({
    names: [['currentMemory', { unit: attr('unit', string) }]],
    parse: node => memoryKiB(childAmount(node, 'currentMemory', './currentMemory[1]')) || undefined,
    format(value, into) {
      if (value !== undefined) into.children.push(element('currentMemory', { unit: 'KiB' }, [String(value)]))
    }
  })
} satisfies Fields

/** Memory of memory devices, in KiB. */
export function hotplugMemoryKiB({ devices }: DomainDef): number {
  return devices.memories.reduce((sum, { target }) => sum + target.sizeKiB, 0)
}

/** Memory the guest starts with, without that of memory devices (virDomainDefGetMemoryInitial). */
export function initialMemoryKiB(def: DomainDef): number {
  return def.memoryKiB - hotplugMemoryKiB(def)
}

/** Sizes that follow from others (virDomainDefPostParseMemory): in a new definition NUMA cells win over `<memory>`. */
export function postParseMemory(def: DomainDef, { isNew }: { isNew: boolean }): void {
  const cells = isNew || def.memoryKiB === 0 ? numaCells(def) : []
  const numa = cells.reduce((sum, cell) => sum + cell.memoryKiB, 0)
  const hotplug = hotplugMemoryKiB(def)
  if (numa > 0) def.memoryKiB = numa + hotplug
  else if (hotplug > def.memoryKiB) {
    throw fail('VIR_ERR_XML_ERROR', 'Total size of memory devices exceeds the total memory size')
  }
  if (initialMemoryKiB(def) === 0) {
    throw fail('VIR_ERR_XML_ERROR', 'Memory size must be specified via <memory> or in the <numa> configuration')
  }
  if (!def.currentMemoryKiB || def.currentMemoryKiB > def.memoryKiB) def.currentMemoryKiB = def.memoryKiB
  const { maxMemory } = def
  if (!maxMemory) return
  if (maxMemory.sizeKiB === 0) {
    throw fail('VIR_ERR_XML_ERROR', 'maximum memory size must be specified when specifying number of memory slots')
  }
  if (maxMemory.sizeKiB < def.memoryKiB) {
    throw fail('VIR_ERR_XML_ERROR', 'maximum memory size must be equal or greater than the actual memory size')
  }
}
