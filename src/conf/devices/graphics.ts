// <graphics>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const graphicsFields = { ...deviceInfo }
export type GraphicsDef = Def<typeof graphicsFields>

export const graphics = deviceFamily({ element: 'graphics', fields: graphicsFields })
