// QEMU's monitor: a socket only we connect to.
import { keyValue } from '../parts/props.ts'
import type { Command } from './command.ts'

export function monitorArgs(command: Command): void {
  command.add(
    '-chardev',
    keyValue('socket', { id: 'charmonitor', path: command.context.paths.monitorSocket, server: true, wait: false })
  )
  command.add('-mon', 'chardev=charmonitor,id=monitor,mode=control')
}
