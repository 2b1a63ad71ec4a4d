// <hub>: QEMU's defaults, checks and arguments.
import type { HubDef } from '../../../conf/devices/hub.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuHub: QemuFamily<HubDef> = {}

export function hubsArgs(_command: Command): void {}
