// <memballoon>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const memballoonFields = { ...deviceInfo }
export type MemballoonDef = Def<typeof memballoonFields>

export const memballoon = deviceFamily({ element: 'memballoon', fields: memballoonFields })
