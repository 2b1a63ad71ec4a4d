// <redirdev>: QEMU's defaults, checks and arguments.
import type { RedirdevDef } from '../../../conf/devices/redirdev.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuRedirdev: QemuFamily<RedirdevDef> = {}

export function redirdevsArgs(_command: Command): void {}
