// <watchdog>: a timer the guest must reset while it is well.
import { attr, type Def, type Fields, required } from '../element.ts'
import { enumOf } from '../scalar.ts'
import { fitsAddress } from './device-address.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const watchdogFields = {
  model: required(attr('model', enumOf('i6300esb', 'ib700', 'diag288', 'itco'))),
  /** the host's action when the guest stops resetting it */
  action: attr('action', enumOf('reset', 'shutdown', 'poweroff', 'pause', 'dump', 'none', 'inject-nmi')),
  ...deviceInfo
} satisfies Fields
export type WatchdogDef = Def<typeof watchdogFields>

export const watchdog = deviceFamily({
  element: 'watchdog',
  fields: watchdogFields,
  postParse(dev) {
    dev.action ??= 'reset'
  },
  same: (wanted, there) =>
    wanted.model === there.model &&
    wanted.action === there.action &&
    (wanted.alias === undefined || wanted.alias === there.alias) &&
    fitsAddress(wanted, there)
})
