import type { Command } from './command.ts'

export function monitorArgs(_command: Command): void {}
