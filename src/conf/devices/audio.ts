// <audio>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const audioFields = { ...deviceInfo }
export type AudioDef = Def<typeof audioFields>

export const audio = deviceFamily({ element: 'audio', fields: audioFields })
