import type { Command } from './command.ts'

export function memoryArgs(_command: Command): void {}

export function memoryDevicesArgs(_command: Command): void {}
