// What all watchdogs have in common.
import { qemuAction } from '../device/watchdog.ts'
import type { Command } from './command.ts'

/** After their devices, as the last of them says (qemuBuildWatchdogCommandLine). */
export function watchdogArgs(command: Command): void {
  const { watchdogs } = command.def.devices
  const last = watchdogs.at(-1)
  if (!last) return
  if (watchdogs.some(({ model }) => model === 'itco')) command.add('-global', 'ICH9-LPC.noreboot=off')
  command.add('-watchdog-action', qemuAction(last))
}
