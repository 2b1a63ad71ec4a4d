// <nvram>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const nvramFields = { ...deviceInfo }
export type NvramDef = Def<typeof nvramFields>

export const nvram = deviceFamily({ element: 'nvram', fields: nvramFields })
