// <crypto>: QEMU's defaults, checks and arguments.
import type { CryptoDef } from '../../../conf/devices/crypto.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuCrypto: QemuFamily<CryptoDef> = {}

export function cryptosArgs(_command: Command): void {}
