import type { Command } from './command.ts'

export function genidArgs(_command: Command): void {}
