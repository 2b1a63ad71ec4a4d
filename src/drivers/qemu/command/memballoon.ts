// <memballoon>: QEMU's defaults, checks and arguments.
import type { MemballoonDef } from '../../../conf/devices/memballoon.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuMemballoon: QemuFamily<MemballoonDef> = {}

export function memballoonsArgs(_command: Command): void {}
