// <serial>, <parallel>, <console>, <channel>: one character device each, with a host side (source) and a guest side.
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const chardevFields = { ...deviceInfo }
export type ChardevDef = Def<typeof chardevFields>

export const serial = deviceFamily({ element: 'serial', fields: chardevFields })
export const parallel = deviceFamily({ element: 'parallel', fields: chardevFields })
export const console = deviceFamily({ element: 'console', fields: chardevFields })
export const channel = deviceFamily({ element: 'channel', fields: chardevFields })
