// <hub>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const hubFields = { ...deviceInfo }
export type HubDef = Def<typeof hubFields>

export const hub = deviceFamily({ element: 'hub', fields: hubFields })
