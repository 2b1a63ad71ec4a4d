// QEMU's monitor: a socket only we connect to.
import type { Command } from './command.ts'

/** The monitor on its socket; QEMU listens (qemuBuildMonitorCommandLine). QEMU 11.1 has it as an object. */
export function monitorArgs(command: Command): void {
  const addr = { type: 'unix', data: { path: command.context.paths.monitorSocket } } as const
  command.chardev('charmonitor', { type: 'socket', data: { addr, server: true } })
  if (command.qemu.has('monitor-qmp'))
    command.object({ 'qom-type': 'monitor-qmp', id: 'monitor', chardev: 'charmonitor' })
  else command.add('-mon', 'chardev=charmonitor,id=monitor,mode=control')
}
