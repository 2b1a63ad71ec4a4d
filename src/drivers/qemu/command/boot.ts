// -boot and direct kernel boot
import { keyValue } from '../parts/props.ts'
import type { Command } from './command.ts'

/** Signatures of ACPI tables that are not in the file. */
const ACPI_SIGNATURES = { raw: undefined, rawset: undefined, slic: 'SLIC', msdm: 'MSDM' }

/** qemuBuildBootCommandLine */
export function bootArgs(command: Command): void {
  const { bootmenu, bios, kernel, initrd, cmdline, shim, dtb, acpiTables = [] } = command.def.os
  command.add(
    '-boot',
    keyValue('', {
      menu: bootmenu?.enable,
      'reboot-timeout': bios?.rebootTimeout,
      'splash-time': bootmenu?.timeout,
      strict: true
    })
  )
  if (kernel !== undefined) command.add('-kernel', kernel)
  if (initrd !== undefined) command.add('-initrd', initrd)
  if (cmdline !== undefined) command.add('-append', cmdline)
  if (shim !== undefined) command.add('-shim', shim)
  if (dtb !== undefined) command.add('-dtb', dtb)
  for (const { type, path } of acpiTables)
    command.add('-acpitable', keyValue('', { sig: ACPI_SIGNATURES[type], file: path }))
}
