import type { Command } from './command.ts'

export function bootArgs(_command: Command): void {}
