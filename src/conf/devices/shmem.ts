// <shmem>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const shmemFields = { ...deviceInfo }
export type ShmemDef = Def<typeof shmemFields>

export const shmem = deviceFamily({ element: 'shmem', fields: shmemFields })
