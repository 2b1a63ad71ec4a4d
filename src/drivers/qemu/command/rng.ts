// <rng>: QEMU's defaults, checks and arguments.
import type { RngDef } from '../../../conf/devices/rng.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuRng: QemuFamily<RngDef> = {}

export function rngsArgs(_command: Command): void {}
