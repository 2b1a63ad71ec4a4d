// <redirfilter>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const redirfilterFields = { ...deviceInfo }
export type RedirfilterDef = Def<typeof redirfilterFields>

export const redirfilter = deviceFamily({ element: 'redirfilter', fields: redirfilterFields })
