// <bandwidth>: limits for what an interface sends and receives (virNetDevBandwidthParse). Rates are KiB/s, amounts KiB.
import { attr, claim, custom, type Field, type ParseContext } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { uint, ulonglong } from '../scalar.ts'
import { element, firstChild, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_NONE')

/** One direction; zero is as good as absent. */
export interface BandwidthRate {
  /** KiB/s */
  average: bigint
  /** KiB/s */
  peak: bigint
  /** KiB/s that are guaranteed, inbound only */
  floor: bigint
  /** KiB sent in one go at peak speed */
  burst: bigint
}

export interface Bandwidth {
  inbound?: BandwidthRate
  outbound?: BandwidthRate
}

/** In the order they are read, which decides what error comes first. */
const RATES = ['average', 'peak', 'burst', 'floor'] as const
/** In the order they are written. */
const WRITTEN = ['average', 'peak', 'floor', 'burst'] as const
const RATE_NAMES = { claimed: claim(...RATES.map(name => `@${name}`)) }
const classId = attr('classID', uint)

/** virNetDevBandwidthParseRate. */
function parseRate(node: XmlElement, context: ParseContext, allowFloor: boolean): BandwidthRate {
  const given = Object.fromEntries(RATES.map(name => [name, attr(name, ulonglong).parse(node, context)]))
  const { average, peak, burst, floor } = given
  if (average === undefined && floor === undefined) {
    throw fail('VIR_ERR_XML_DETAIL', 'Missing mandatory average or floor attributes')
  }
  if (average === undefined && (peak ?? burst) !== undefined) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "'peak' and 'burst' require 'average' attribute")
  }
  if (floor !== undefined && !allowFloor) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'floor attribute is not supported for this config')
  }
  return { average: average ?? 0n, peak: peak ?? 0n, floor: floor ?? 0n, burst: burst ?? 0n }
}

/** What the host's traffic control can hold, in KiB/s and KiB. */
const SPEED_LIMIT = 1n << 54n
const SIZE_LIMIT = (2n ** 32n - 1n) >> 10n

/** @throws VIR_ERR_OVERFLOW for a limit that the host cannot set (virNetDevBandwidthValidate) */
export function checkBandwidth({ inbound, outbound }: Bandwidth = {}): void {
  for (const rate of [inbound, outbound]) {
    if (!rate) continue
    for (const name of RATES) {
      const limit = name === 'burst' ? SIZE_LIMIT : SPEED_LIMIT
      if (rate[name] <= limit) continue
      throw fail('VIR_ERR_OVERFLOW', `value '${rate[name]}' is too big for '${name}' parameter, maximum is '${limit}'`)
    }
  }
}

function formatRate(name: string, rate: BandwidthRate | undefined): XmlElement | undefined {
  if (!rate || rate.average + rate.floor === 0n) return undefined
  return element(name, Object.fromEntries(WRITTEN.map(key => [key, rate[key] || undefined])))
}

/** @param allowFloor tells whether the element's owner can guarantee bandwidth */
export function bandwidth(allowFloor: (owner: XmlElement) => boolean): Field<Bandwidth | undefined> {
  return custom<Bandwidth | undefined>({
    names: [['bandwidth', { claimed: claim(['inbound', RATE_NAMES], ['outbound', RATE_NAMES]) }]],
    parse(node, context) {
      const found = firstChild(node, 'bandwidth')
      if (!found) return undefined
      if (classId.parse(found, context) !== undefined) {
        throw fail('VIR_ERR_XML_DETAIL', 'classID attribute not supported on <bandwidth> in this usage context')
      }
      const rate = (name: 'inbound' | 'outbound', mayFloor: boolean) => {
        const direction = firstChild(found, name)
        return direction && parseRate(direction, context, mayFloor)
      }
      const inbound = rate('inbound', allowFloor(node))
      const outbound = rate('outbound', false)
      return (inbound ?? outbound) ? { ...(inbound && { inbound }), ...(outbound && { outbound }) } : undefined
    },
    format(value, into) {
      if (!value) return
      const rates = [formatRate('inbound', value.inbound), formatRate('outbound', value.outbound)]
      into.children.push(element('bandwidth', {}, rates))
    }
  })
}
