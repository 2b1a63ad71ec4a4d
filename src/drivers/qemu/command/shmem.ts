// <shmem>: QEMU's defaults, checks and arguments.
import type { ShmemDef } from '../../../conf/devices/shmem.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuShmem: QemuFamily<ShmemDef> = {}

export function shmemsArgs(_command: Command): void {}
