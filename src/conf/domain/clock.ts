// <clock> and its <timer>s.
import { attr, childAlways, children, custom, type Def, type Fields, required } from '../element.ts'
import { enumOf, longlong, string, uint, yesNo } from '../scalar.ts'
import { firstChild } from '../xml.ts'

const timer = {
  name: required(attr('name', enumOf('platform', 'pit', 'rtc', 'hpet', 'tsc', 'kvmclock', 'hypervclock', 'armvtimer'))),
  present: attr('present', yesNo),
  tickpolicy: attr('tickpolicy', enumOf('delay', 'catchup', 'merge', 'discard')),
  track: attr('track', enumOf('boot', 'guest', 'wall', 'realtime')),
  frequency: attr('frequency', longlong),
  mode: attr('mode', enumOf('auto', 'native', 'emulate', 'paravirt', 'smpsafe')),
  catchup: childAlways('catchup', {
    threshold: attr('threshold', uint),
    slew: attr('slew', uint),
    limit: attr('limit', uint)
  })
} satisfies Fields

const clockTable = {
  offset: attr('offset', enumOf('utc', 'localtime', 'variable', 'timezone', 'absolute')),
  adjustment: attr('adjustment', string),
  basis: attr('basis', enumOf('utc', 'localtime')),
  timezone: attr('timezone', string),
  start: attr('start', longlong),
  timers: children('timer', timer)
} satisfies Fields

export type ClockDef = Def<typeof clockTable>

const clockElement = childAlways('clock', clockTable)

export const clockFields = {
  clock: custom<ClockDef>({
    names: clockElement.names,
    parse(node, context) {
      const parsed = firstChild(node, 'clock') ? clockElement.parse(node, context)! : { timers: [] }
      const clock: ClockDef = { offset: 'utc', ...parsed }
      if (clock.offset === 'variable') {
        clock.adjustment ??= '0'
        clock.basis ??= 'utc'
      }
      return clock
    },
    format: (value, into, context) => clockElement.format(value, into, context)
  })
} satisfies Fields
