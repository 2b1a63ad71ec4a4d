import type { Command } from './command.ts'

export function compatArgs(_command: Command): void {}
