// <filesystem>: QEMU's defaults, checks and arguments.
import type { FilesystemDef } from '../../../conf/devices/filesystem.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuFilesystem: QemuFamily<FilesystemDef> = {}

export function filesystemsArgs(_command: Command): void {}
