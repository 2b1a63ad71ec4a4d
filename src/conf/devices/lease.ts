// <lease>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const leaseFields = { ...deviceInfo }
export type LeaseDef = Def<typeof leaseFields>

export const lease = deviceFamily({ element: 'lease', fields: leaseFields })
