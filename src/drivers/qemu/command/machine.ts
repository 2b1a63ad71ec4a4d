import type { Command } from './command.ts'

export function machineArgs(_command: Command): void {}

export function accelArgs(_command: Command): void {}

export function tsegArgs(_command: Command): void {}

export function vmcoreinfoArgs(_command: Command): void {}
