import type { Command } from './command.ts'

export function qemuNamespaceArgs(_command: Command): void {}
