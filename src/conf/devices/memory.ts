// <memory>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const memoryFields = { ...deviceInfo }
export type MemoryDef = Def<typeof memoryFields>

export const memory = deviceFamily({ element: 'memory', fields: memoryFields })
