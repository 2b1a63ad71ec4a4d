// <sound>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const soundFields = { ...deviceInfo }
export type SoundDef = Def<typeof soundFields>

export const sound = deviceFamily({ element: 'sound', fields: soundFields })
