// QEMU's monitor: a socket only we connect to.
import type { Command } from './command.ts'

/** The monitor on its socket; QEMU listens (qemuBuildMonitorCommandLine). */
export function monitorArgs(command: Command): void {
  const addr = { type: 'unix', data: { path: command.context.paths.monitorSocket } } as const
  command.chardev('charmonitor', { type: 'socket', data: { addr, server: true } })
  command.add('-mon', 'chardev=charmonitor,id=monitor,mode=control')
}
