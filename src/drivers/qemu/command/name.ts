import type { Command } from './command.ts'

export function nameArgs(_command: Command): void {}

export function uuidArgs(_command: Command): void {}
