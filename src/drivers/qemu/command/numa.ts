import type { Command } from './command.ts'

export function numaArgs(_command: Command): void {}
