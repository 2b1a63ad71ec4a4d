// <nvram>: QEMU's defaults, checks and arguments.
import type { NvramDef } from '../../../conf/devices/nvram.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuNvram: QemuFamily<NvramDef> = {}

export function nvramsArgs(_command: Command): void {}
