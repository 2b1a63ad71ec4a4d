// <clock>: the start of the guest's clock, and its <timer>s (virDomainDefClockParse).
import {
  attr,
  child,
  children,
  custom,
  type Def,
  type Fields,
  formatFieldsInto,
  onlyIf,
  parseFields,
  required
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, longlong, string, ulonglong, yesNo } from '../scalar.ts'
import { element, gathered, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const timerTable = {
  name: required(attr('name', enumOf('platform', 'pit', 'rtc', 'hpet', 'tsc', 'kvmclock', 'hypervclock', 'armvtimer'))),
  present: attr('present', yesNo),
  /** the treatment of ticks the guest missed */
  tickpolicy: attr('tickpolicy', enumOf('delay', 'catchup', 'merge', 'discard')),
  /** the clock that the RTC follows */
  track: attr('track', enumOf('boot', 'guest', 'wall', 'realtime')),
  frequencyHz: attr('frequency', ulonglong),
  mode: attr('mode', enumOf('auto', 'native', 'emulate', 'paravirt', 'smpsafe')),
  catchup: child('catchup', {
    threshold: attr('threshold', ulonglong),
    slew: attr('slew', ulonglong),
    limit: attr('limit', ulonglong)
  })
} satisfies Fields
export type TimerDef = Def<typeof timerTable>

/** Zeros mean unset, and only the TSC has a frequency and a mode. */
function shownTimer({ frequencyHz, mode, catchup, ...timer }: TimerDef): TimerDef {
  const nonZero = Object.fromEntries(Object.entries(catchup ?? {}).filter(([, value]) => value !== 0n))
  return {
    ...timer,
    ...(timer.name === 'tsc' && { ...(frequencyHz && { frequencyHz }), ...(mode && { mode }) }),
    ...(Object.keys(nonZero).length > 0 && { catchup: nonZero })
  }
}

const timers = children('timer', timerTable)

const basis = enumOf('utc', 'localtime')

/**
 * Refuses settings that a kind of timer does not have (virDomainDefPostParseTimer).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_XML_ERROR
 */
export function checkTimers({ clock }: { clock: ClockDef }): void {
  for (const { name, tickpolicy, track, frequencyHz, mode, catchup } of clock.timers) {
    const unsupported = (what: string) =>
      fail('VIR_ERR_CONFIG_UNSUPPORTED', `timer ${name} doesn't support setting of timer ${what}`)
    if ((name === 'kvmclock' || name === 'hypervclock') && tickpolicy) throw unsupported('tickpolicy')
    if (tickpolicy !== 'catchup' && (catchup?.threshold || catchup?.slew || catchup?.limit)) {
      throw fail('VIR_ERR_XML_ERROR', "setting of timer catchup policies is only supported with tickpolicy='catchup'")
    }
    if (name !== 'tsc' && frequencyHz) throw unsupported('frequency')
    if (name !== 'tsc' && mode) throw unsupported('mode')
    if (name !== 'platform' && name !== 'rtc' && track) throw unsupported('track')
  }
}

/** The start of the clock, by its offset. Seconds. */
export type ClockStart =
  | { offset: 'utc' | 'localtime'; reset?: true }
  | { offset: 'variable'; adjustment: bigint; adjustment0?: bigint; basis: (typeof basis.values)[number] }
  | { offset: 'timezone'; timezone: string }
  | { offset: 'absolute'; start: bigint }
export type ClockDef = ClockStart & { timers: TimerDef[] }

const clockAttributes = {
  offset: attr('offset', enumOf('utc', 'localtime', 'variable', 'timezone', 'absolute')),
  adjustment: attr('adjustment', string),
  basis: attr('basis', basis),
  timezone: attr('timezone', string),
  start: attr('start', ulonglong),
  adjustment0: onlyIf(({ inactive }) => !inactive, attr('adjustment0', longlong))
} satisfies Fields

function parseStart({ attributes }: XmlElement): ClockStart {
  const offset = attributes.offset || 'utc'
  switch (offset) {
    case 'utc':
    case 'localtime': {
      if (!attributes.adjustment) return { offset }
      if (attributes.adjustment === 'reset') return { offset, reset: true }
      const adjustment = longlong.parse(attributes.adjustment)
      if (adjustment !== undefined) return { offset: 'variable', adjustment, basis: offset }
      throw fail('VIR_ERR_XML_ERROR', `unknown clock adjustment '${attributes.adjustment}'`)
    }
    case 'variable': {
      const from = basis.parse(attributes.basis || 'utc')
      if (from === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown clock basis '${attributes.basis}'`)
      const adjustment0 = longlong.parse(attributes.adjustment0 ?? '')
      return {
        offset,
        adjustment: longlong.parse(attributes.adjustment ?? '') ?? 0n,
        basis: from,
        ...(adjustment0 && { adjustment0 })
      }
    }
    case 'timezone':
      if (attributes.timezone) return { offset, timezone: attributes.timezone }
      throw fail('VIR_ERR_INTERNAL_ERROR', "missing 'timezone' attribute for clock with offset='timezone'")
    case 'absolute': {
      const start = ulonglong.parse(attributes.start ?? '')
      if (start !== undefined) return { offset, start }
      throw fail('VIR_ERR_INTERNAL_ERROR', "missing 'start' attribute for clock with offset='absolute'")
    }
    default:
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown clock offset '${offset}'`)
  }
}

/** The start in the form of its attributes. */
function startAttributes(clock: ClockStart): Def<typeof clockAttributes> {
  switch (clock.offset) {
    case 'variable':
      return { ...clock, adjustment: String(clock.adjustment) }
    case 'utc':
    case 'localtime':
      return { offset: clock.offset, ...(clock.reset && { adjustment: 'reset' }) }
    default:
      return clock
  }
}

export const clockFields = {
  clock: custom<ClockDef>({
    names: [['clock', { ...clockAttributes, timers }]],
    parse(node, context) {
      const found = gathered(node, 'clock')
      if (!found) return { offset: 'utc', timers: [] }
      return { ...parseStart(found), ...parseFields(found, { timers }, context) }
    },
    format(value, into, context) {
      const node = element('clock')
      formatFieldsInto(node, startAttributes(value), clockAttributes, context)
      timers.format(value.timers.map(shownTimer), node, context)
      into.children.push(node)
    }
  })
} satisfies Fields
