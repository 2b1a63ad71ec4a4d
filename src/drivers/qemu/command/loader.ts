import type { Command } from './command.ts'

export function loaderArgs(_command: Command): void {}
