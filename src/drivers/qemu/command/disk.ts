// <disk>: QEMU's defaults, checks and arguments.
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuDisk: QemuFamily<DiskDef> = {}

export function disksArgs(_command: Command): void {}
