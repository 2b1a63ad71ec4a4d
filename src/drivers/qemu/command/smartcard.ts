// <smartcard>: QEMU's defaults, checks and arguments.
import type { SmartcardDef } from '../../../conf/devices/smartcard.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuSmartcard: QemuFamily<SmartcardDef> = {}

export function smartcardsArgs(_command: Command): void {}
