// <memballoon>: takes memory back from the guest, and reports how much it uses.
import { attr, child, custom, type Def, type Field, type Fields, parseAttribute, readIf, required } from '../element.ts'
import { enumOf, intAnyBase, onOff } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'

/** Model none is no device: it has no place. */
const unlessNone = <T>(field: Field<T | undefined>) => readIf(({ attributes: { model } }) => model !== 'none', field)

export const memballoonFields = {
  model: required(attr('model', enumOf('virtio', 'xen', 'none', 'virtio-transitional', 'virtio-non-transitional'))),
  autodeflate: attr('autodeflate', onOff),
  freePageReporting: attr('freePageReporting', onOff),
  /** seconds between two reports of the guest */
  statsPeriod: custom<number | undefined>({
    names: [['stats', { period: attr('period', intAnyBase) }]],
    parse(node) {
      const found = firstChild(node, 'stats')
      const period = found && parseAttribute(found, 'period', intAnyBase)
      return period !== undefined && period > 0 ? period : undefined
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element('stats', { period: value }))
    }
  }),
  alias: unlessNone(deviceInfo.alias),
  masterStartPort: unlessNone(deviceInfo.masterStartPort),
  acpiIndex: unlessNone(deviceInfo.acpiIndex),
  address: unlessNone(deviceInfo.address),
  /** written after the address, unlike everywhere else */
  driver: child('driver', virtioDriver)
} satisfies Fields
export type MemballoonDef = Def<typeof memballoonFields>

export const memballoon = deviceFamily({
  element: 'memballoon',
  fields: memballoonFields,
  limit: { code: 'VIR_ERR_INTERNAL_ERROR', message: 'only a single memory balloon device is supported' }
})
