// <rng>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const rngFields = { ...deviceInfo }
export type RngDef = Def<typeof rngFields>

export const rng = deviceFamily({ element: 'rng', fields: rngFields })
