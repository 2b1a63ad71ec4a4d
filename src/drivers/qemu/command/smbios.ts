import type { Command } from './command.ts'

export function smbiosArgs(_command: Command): void {}
