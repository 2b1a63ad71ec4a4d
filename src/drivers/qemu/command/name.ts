// -name and -uuid
import { keyValue } from '../parts/props.ts'
import type { Command } from './command.ts'

export function nameArgs(command: Command): void {
  command.add('-name', keyValue('', { guest: command.def.name, 'debug-threads': true }))
}

export function uuidArgs(command: Command): void {
  command.add('-uuid', command.def.uuid)
}
