import type { Command } from './command.ts'

export function clockArgs(_command: Command): void {}
