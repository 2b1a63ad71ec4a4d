// <hostdev>: QEMU's defaults, checks and arguments.
import type { HostdevDef } from '../../../conf/devices/hostdev.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuHostdev: QemuFamily<HostdevDef> = {}

export function hostdevsArgs(_command: Command): void {}
