import type { Command } from './command.ts'

export function pmArgs(_command: Command): void {}
