// <nvram>: the non-volatile memory of pSeries guests.
import type { Def, Fields } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const nvramFields = { ...deviceInfo } satisfies Fields
export type NvramDef = Def<typeof nvramFields>

export const nvram = deviceFamily({
  element: 'nvram',
  fields: nvramFields,
  limit: { code: 'VIR_ERR_INTERNAL_ERROR', message: 'only a single nvram device is supported' }
})
