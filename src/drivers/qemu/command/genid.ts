// The VM generation id: tells the guest that it was copied or went back in time.
import type { Command } from './command.ts'

/** The generation id, if the guest has one (qemuBuildVMGenIDCommandLine). */
export function genidArgs(command: Command): void {
  const { genid } = command.def
  if (genid !== undefined) command.device({ driver: 'vmgenid', guid: genid, id: 'vmgenid0' })
}
