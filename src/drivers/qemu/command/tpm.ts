// <tpm>: QEMU's defaults, checks and arguments.
import type { TpmDef } from '../../../conf/devices/tpm.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuTpm: QemuFamily<TpmDef> = {}

export function tpmsArgs(_command: Command): void {}
