// <input>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const inputFields = { ...deviceInfo }
export type InputDef = Def<typeof inputFields>

export const input = deviceFamily({ element: 'input', fields: inputFields })
