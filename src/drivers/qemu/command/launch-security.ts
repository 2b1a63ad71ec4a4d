import type { Command } from './command.ts'

export function launchSecurityArgs(_command: Command): void {}
