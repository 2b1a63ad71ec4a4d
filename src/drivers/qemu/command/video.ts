// <video>: QEMU's defaults, checks and arguments.
import type { VideoDef } from '../../../conf/devices/video.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuVideo: QemuFamily<VideoDef> = {}

export function videosArgs(_command: Command): void {}
