// -sandbox: QEMU's own system call filter
import type { Command } from './command.ts'

/** The sandbox as configured, and time stamps in QEMU's log (qemuBuildSeccompSandboxCommandLine). */
export function sandboxArgs(command: Command): void {
  if (command.context.config.seccompSandbox) {
    command.add('-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny')
  }
  command.add('-msg', 'timestamp=on')
}
