// <smartcard>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const smartcardFields = { ...deviceInfo }
export type SmartcardDef = Def<typeof smartcardFields>

export const smartcard = deviceFamily({ element: 'smartcard', fields: smartcardFields })
