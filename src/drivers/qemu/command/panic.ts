// <panic>: QEMU's defaults, checks and arguments.
import type { PanicDef } from '../../../conf/devices/panic.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuPanic: QemuFamily<PanicDef> = {}

export function panicsArgs(_command: Command): void {}
