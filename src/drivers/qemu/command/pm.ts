// Power: ACPI, what shutdown does, sleep states.
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Capability } from '../capabilities/signs.ts'
import { isQ35, isX86 } from '../machine-type.ts'
import type { Command } from './command.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** ACPI's sleep states: the setting, and the property of the chipset's power management that turns each off. */
const SLEEP_STATES = [
  { property: 'disable_s3', setting: 'suspendToMem', ich9: 'ich9-disable-s3' },
  { property: 'disable_s4', setting: 'suspendToDisk', ich9: 'ich9-disable-s4' }
] as const satisfies { ich9: Capability; [key: string]: string }[]

/** Q35 machines of a QEMU without the ICH9 property get PIIX4's, as they always did: QEMU warns and starts. */
export function pmArgs(command: Command): void {
  const { def, qemu } = command
  command.add('-no-shutdown')
  // one that says which machines have ACPI takes it as their option (machine.ts)
  const isOption = qemu.machine(def.os.machine!)?.acpi !== undefined
  if (!def.features?.acpi && !isOption && (isX86(def) || def.os.arch === 'aarch64')) command.add('-no-acpi')
  for (const { property, setting, ich9 } of SLEEP_STATES) {
    const enabled = def.pm?.[setting]
    if (enabled === undefined) continue
    const device = isQ35(def) && qemu.has(ich9) ? 'ICH9-LPC' : 'PIIX4_PM'
    command.add('-global', `${device}.${property}=${enabled ? 0 : 1}`)
  }
}

/** @throws VIR_ERR_CONFIG_UNSUPPORTED; libvirt: qemuValidateDomainDef */
export function validatePm(def: DomainDef): void {
  if (!isX86(def) && SLEEP_STATES.some(({ setting }) => def.pm?.[setting] !== undefined)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'setting ACPI S3/S4 not supported')
  }
}
