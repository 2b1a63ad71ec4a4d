// <watchdog>
import { attr, type Def, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf } from '../scalar.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export const watchdogFields = {
  model: required(attr('model', enumOf('i6300esb', 'ib700', 'diag288', 'itco'))),
  action: attr('action', enumOf('reset', 'shutdown', 'poweroff', 'pause', 'dump', 'none', 'inject-nmi')),
  ...deviceInfo
}
export type WatchdogDef = Def<typeof watchdogFields>

export const watchdog = deviceFamily({
  element: 'watchdog',
  fields: watchdogFields,
  single: 'only a single watchdog device is supported',

  postParse(dev) {
    dev.action ??= 'reset'
  },

  validate(dev, def) {
    void fail
    void dev
    void def
  }
})
