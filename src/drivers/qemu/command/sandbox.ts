// -sandbox: QEMU's own system call filter
import type { Command } from './command.ts'

export function sandboxArgs(command: Command): void {
  if (command.context.config.seccompSandbox) {
    command.add('-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny')
  }
  command.add('-msg', 'timestamp=on')
}
