// <controller>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const controllerFields = { ...deviceInfo }
export type ControllerDef = Def<typeof controllerFields>

export const controller = deviceFamily({ element: 'controller', fields: controllerFields })
