// <interface>: QEMU's defaults, checks and arguments.
import type { InterfaceDef } from '../../../conf/devices/interface.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuInterface: QemuFamily<InterfaceDef> = {}

export function interfacesArgs(_command: Command): void {}
