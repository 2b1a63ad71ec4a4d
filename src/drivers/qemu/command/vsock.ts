// <vsock>: QEMU's defaults, checks and arguments.
import type { VsockDef } from '../../../conf/devices/vsock.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuVsock: QemuFamily<VsockDef> = {}

export function vsocksArgs(_command: Command): void {}
