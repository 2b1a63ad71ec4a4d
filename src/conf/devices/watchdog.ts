// <watchdog>: a timer the guest must reset while it is well.
import type { Def, Fields } from '../element.ts'
import { enumOf } from '../scalar.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'
import { named, namedRequired } from './named.ts'

export const watchdogFields = {
  model: namedRequired('model', enumOf('i6300esb', 'ib700', 'diag288', 'itco'), 'unknown watchdog model', [
    'VIR_ERR_INTERNAL_ERROR',
    'watchdog must contain model name'
  ]),
  /** the host's action when the guest stops resetting it */
  action: named(
    'action',
    enumOf('reset', 'shutdown', 'poweroff', 'pause', 'dump', 'none', 'inject-nmi'),
    'unknown watchdog action'
  ),
  ...deviceInfo
} satisfies Fields
export type WatchdogDef = Def<typeof watchdogFields>

export const watchdog = deviceFamily({
  element: 'watchdog',
  fields: watchdogFields,
  postParse(dev) {
    dev.action ??= 'reset'
  }
})
