// <audio>: QEMU's defaults, checks and arguments.
import type { AudioDef } from '../../../conf/devices/audio.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuAudio: QemuFamily<AudioDef> = {}

export function audiosArgs(_command: Command): void {}
