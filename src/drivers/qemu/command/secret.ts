// The master key: secrets on the command line are encrypted with it.
import { join } from 'node:path'
import type { Command } from './command.ts'

/** Made only for guests that have secrets; a pretended command line shows it as libvirt does. */
export function masterKeyArgs(command: Command): void {
  if (!command.context.pretend) return
  const file = join(command.context.paths.libDir, 'master-key.aes')
  command.object({ 'qom-type': 'secret', id: 'masterKey0', format: 'raw', file })
}
