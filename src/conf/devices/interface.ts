// <interface>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const interfaceFields = { ...deviceInfo }
export type InterfaceDef = Def<typeof interfaceFields>

export const interfaceFamily = deviceFamily({ element: 'interface', fields: interfaceFields })
