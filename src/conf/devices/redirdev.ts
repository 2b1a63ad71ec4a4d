// <redirdev>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const redirdevFields = { ...deviceInfo }
export type RedirdevDef = Def<typeof redirdevFields>

export const redirdev = deviceFamily({ element: 'redirdev', fields: redirdevFields })
