// <tpm>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const tpmFields = { ...deviceInfo }
export type TpmDef = Def<typeof tpmFields>

export const tpm = deviceFamily({ element: 'tpm', fields: tpmFields })
