// <sound>: QEMU's defaults, checks and arguments.
import type { SoundDef } from '../../../conf/devices/sound.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuSound: QemuFamily<SoundDef> = {}

export function soundsArgs(_command: Command): void {}
