// <video>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const videoFields = { ...deviceInfo }
export type VideoDef = Def<typeof videoFields>

export const video = deviceFamily({ element: 'video', fields: videoFields })
