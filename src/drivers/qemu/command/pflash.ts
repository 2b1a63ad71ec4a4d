import type { Command } from './command.ts'

export function pflashArgs(_command: Command): void {}
