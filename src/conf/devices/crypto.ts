// <crypto>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const cryptoFields = { ...deviceInfo }
export type CryptoDef = Def<typeof cryptoFields>

export const crypto = deviceFamily({ element: 'crypto', fields: cryptoFields })
