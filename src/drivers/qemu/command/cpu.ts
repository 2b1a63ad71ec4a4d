import type { Command } from './command.ts'

export function cpuArgs(_command: Command): void {}

export function smpArgs(_command: Command): void {}
