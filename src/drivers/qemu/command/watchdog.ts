// <watchdog>: QEMU's defaults, checks and arguments.
import type { WatchdogDef } from '../../../conf/devices/watchdog.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuWatchdog: QemuFamily<WatchdogDef> = {}

export function watchdogsArgs(_command: Command): void {}
