// Options of the command line for the controllers a machine has built in.
import { isQ35 } from '../machine-type.ts'
import { bootIndex } from '../parts/boot-index.ts'
import type { Command } from './command.ts'

/** -global for options of the machine's own host bridge. */
export function hostBridgeArgs(command: Command): void {
  for (const { type, model, pcihole64KiB } of command.def.devices.controllers) {
    if (type !== 'pci' || pcihole64KiB === undefined) continue
    const host = model === 'pcie-root' ? 'q35-pcihost' : 'i440FX-pcihost'
    command.add('-global', `${host}.pci-hole64-size=${pcihole64KiB}K`)
  }
}

/** Boot order of floppies is the controller's matter (qemuBuildFloppyCommandLineControllerOptions). */
export function floppyControllerArgs(command: Command): void {
  const { def } = command
  const floppies = def.devices.disks.filter(({ target }) => target?.bus === 'fdc')
  if (floppies.length === 0) return
  let bootindexA: number | undefined
  let bootindexB: number | undefined
  for (const floppy of floppies) {
    if (floppy.address?.type === 'drive' && floppy.address.unit > 0) bootindexB = bootIndex(command, floppy)
    else bootindexA = bootIndex(command, floppy)
  }
  if (isQ35(def)) {
    command.device({ driver: 'isa-fdc', bootindexA, bootindexB })
    return
  }
  if (bootindexA) command.add('-global', `isa-fdc.bootindexA=${bootindexA}`)
  if (bootindexB) command.add('-global', `isa-fdc.bootindexB=${bootindexB}`)
}
