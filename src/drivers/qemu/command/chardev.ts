// <serial>, <parallel>, <channel>, <console>: QEMU's defaults, checks and arguments.
import type { ChardevDef } from '../../../conf/devices/chardev.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuChardev: QemuFamily<ChardevDef> = {}

export function serialsArgs(_command: Command): void {}

export function parallelsArgs(_command: Command): void {}

export function channelsArgs(_command: Command): void {}

export function consolesArgs(_command: Command): void {}
