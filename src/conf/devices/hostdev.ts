// <hostdev>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const hostdevFields = { ...deviceInfo }
export type HostdevDef = Def<typeof hostdevFields>

export const hostdev = deviceFamily({ element: 'hostdev', fields: hostdevFields })
