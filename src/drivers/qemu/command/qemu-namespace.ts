// Arguments, environment and device properties the user hands to QEMU past libvirt.
import type { Command } from './command.ts'

/** Arguments and environment of `<qemu:commandline>`, as given (qemuBuildCommandLine). */
export function qemuNamespaceArgs(command: Command): void {
  const { args = [], env = [] } = command.def.qemuNamespace ?? {}
  for (const { name, value } of env) command.env[name] = value ?? ''
  command.add(...args)
}
