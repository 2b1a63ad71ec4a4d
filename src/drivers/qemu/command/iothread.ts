import type { Command } from './command.ts'

export function iothreadsArgs(_command: Command): void {}
