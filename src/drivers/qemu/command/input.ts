// <input>: QEMU's defaults, checks and arguments.
import type { InputDef } from '../../../conf/devices/input.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuInput: QemuFamily<InputDef> = {}

export function inputsArgs(_command: Command): void {}
