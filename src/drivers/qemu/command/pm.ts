// Power: ACPI, what shutdown does, sleep states.

import { isI440fx, isQ35 } from '../machine-type.ts'
import type { Command } from './command.ts'

export function pmArgs(command: Command): void {
  const { def, qemu } = command
  command.add('-no-shutdown')
  if (!def.features?.acpi && qemu.has('no-acpi')) command.add('-no-acpi')
  const global = isQ35(def) ? 'ICH9-LPC' : isI440fx(def) ? 'PIIX4_PM' : undefined
  if (!global) return
  const { suspendToMem, suspendToDisk } = def.pm ?? {}
  if (suspendToMem !== undefined) command.add('-global', `${global}.disable_s3=${Number(!suspendToMem)}`)
  if (suspendToDisk !== undefined) command.add('-global', `${global}.disable_s4=${Number(!suspendToDisk)}`)
}
