// <disk>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const diskFields = { ...deviceInfo }
export type DiskDef = Def<typeof diskFields>

export const disk = deviceFamily({ element: 'disk', fields: diskFields })
