// <graphics>: QEMU's defaults, checks and arguments.
import type { GraphicsDef } from '../../../conf/devices/graphics.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuGraphics: QemuFamily<GraphicsDef> = {}

export function graphicsArgs(_command: Command): void {}
