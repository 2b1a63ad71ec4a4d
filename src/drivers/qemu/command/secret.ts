import type { Command } from './command.ts'

export function masterKeyArgs(_command: Command): void {}
