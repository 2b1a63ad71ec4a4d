// Features that carry an amount of memory: <smm> with its TSEG, <hpt> with its page size, <tcg> with its code cache.
import { attr, claim, custom, type Field } from '../element.ts'
import { errorsFrom, VirError } from '../error.ts'
import { enumOf, onOff, string } from '../scalar.ts'
import { childAmount, memoryKiB, scaledValue } from '../scaled.ts'
import { element, firstChild, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const KIB = 1024n
const MIB = KIB * KIB

const PRETTY_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** The largest unit that holds the amount as an integer (virFormatIntPretty). */
function prettyBytes(bytes: bigint): { amount: bigint; unit: string } {
  let power = 0
  let amount = bytes
  while (amount !== 0n && amount % KIB === 0n && power < PRETTY_UNITS.length - 1) {
    amount /= KIB
    power++
  }
  return { amount, unit: PRETTY_UNITS[power]! }
}

const unitAttribute = { unit: attr('unit', string) }
const stateAttribute = attr('state', onOff)

/** System management mode, and how much memory it keeps for itself; absent: the machine's own. */
export const smmFeature: Field<{ state: boolean; tsegBytes?: bigint } | undefined> = custom({
  names: [['smm', { state: stateAttribute, tseg: claim(['tseg', unitAttribute]) }]],
  parse(node, context) {
    const found = firstChild(node, 'smm')
    if (!found) return undefined
    const on = stateAttribute.parse(found, context) ?? true
    const tsegBytes = on ? scaledValue(childAmount(found, 'tseg', 'string(./features/smm/tseg)'), MIB) : undefined
    return { state: on, ...(tsegBytes !== undefined && { tsegBytes }) }
  },
  format(value, into) {
    if (!value) return
    const node = element('smm', { state: onOff.format(value.state) })
    if (value.tsegBytes !== undefined) {
      const { amount, unit } = prettyBytes(value.tsegBytes)
      node.children.push(element('tseg', { unit }, [String(amount)]))
    }
    into.children.push(node)
  }
})

const resizingAttribute = attr('resizing', enumOf('enabled', 'disabled', 'required'))

/** The hash page table of pSeries guests. */
export const hptFeature: Field<
  { resizing?: 'enabled' | 'disabled' | 'required'; maxPageSizeKiB?: bigint } | undefined
> = custom({
  names: [['hpt', { resizing: resizingAttribute, size: claim(['maxpagesize', unitAttribute]) }]],
  parse(node, context) {
    const found = firstChild(node, 'hpt')
    if (!found) return undefined
    const resizing = resizingAttribute.parse(found, context)
    const maxPageSizeKiB = (maxPageBytes(found) + KIB - 1n) / KIB
    if (resizing === undefined && maxPageSizeKiB === 0n) return undefined
    return { ...(resizing && { resizing }), ...(maxPageSizeKiB > 0n && { maxPageSizeKiB }) }
  },
  format(value, into) {
    if (!value) return
    const size = value.maxPageSizeKiB
    const kid = size === undefined ? undefined : element('maxpagesize', { unit: 'KiB' }, [String(size)])
    into.children.push(element('hpt', { resizing: value.resizing }, [kid]))
  }
})

function maxPageBytes(node: XmlElement): bigint {
  try {
    return scaledValue(childAmount(node, 'maxpagesize')) ?? 0n
  } catch (error) {
    if (!(error instanceof VirError)) throw error
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Unable to parse HPT maxpagesize setting', error)
  }
}

/** The size of the translated code cache; nothing if it is zero. */
export const tcgFeature: Field<{ tbCacheKiB: number } | undefined> = custom({
  names: [['tcg', { tbCache: claim(['tb-cache', unitAttribute]) }]],
  parse(node) {
    const found = firstChild(node, 'tcg')
    const tbCacheKiB = found ? memoryKiB(childAmount(found, 'tb-cache')) : 0
    return tbCacheKiB > 0 ? { tbCacheKiB } : undefined
  },
  format(value, into) {
    if (!value) return
    into.children.push(element('tcg', {}, [element('tb-cache', { unit: 'KiB' }, [String(value.tbCacheKiB)])]))
  }
})
