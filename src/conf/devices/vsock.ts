// <vsock>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const vsockFields = { ...deviceInfo }
export type VsockDef = Def<typeof vsockFields>

export const vsock = deviceFamily({ element: 'vsock', fields: vsockFields })
