// <panic>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const panicFields = { ...deviceInfo }
export type PanicDef = Def<typeof panicFields>

export const panic = deviceFamily({ element: 'panic', fields: panicFields })
