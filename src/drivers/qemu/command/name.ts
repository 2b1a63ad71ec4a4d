// -name and -uuid
import { keyValue } from '../parts/props.ts'
import type { Command } from './command.ts'

/** The guest's name, which QEMU gives its threads too (qemuBuildNameCommandLine). */
export function nameArgs(command: Command): void {
  command.add('-name', keyValue('', { guest: command.def.name, 'debug-threads': true }))
}

/** The guest's uuid, for SMBIOS and query-uuid (qemuBuildCommandLine). */
export function uuidArgs(command: Command): void {
  command.add('-uuid', command.def.uuid)
}
