import type { Command } from './command.ts'

export function sandboxArgs(_command: Command): void {}
