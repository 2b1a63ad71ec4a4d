// <controller>: QEMU's defaults, checks and arguments.
import type { ControllerDef } from '../../../conf/devices/controller.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuController: QemuFamily<ControllerDef> = {}

export function globalControllerArgs(_command: Command): void {}

export function controllersArgs(_command: Command): void {}

export function ccidControllersArgs(_command: Command): void {}
