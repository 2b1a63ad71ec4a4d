// <filesystem>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const filesystemFields = { ...deviceInfo }
export type FilesystemDef = Def<typeof filesystemFields>

export const filesystem = deviceFamily({ element: 'filesystem', fields: filesystemFields })
