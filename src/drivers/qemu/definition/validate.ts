// QEMU's domain-wide checks (qemuValidateDomainDef).
import type { LifecycleActions } from '../../../conf/domain/events.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { runsArch } from '../capabilities/emulator.ts'
import { validateClock } from '../command/clock.ts'
import { validateIothreadPools } from '../command/iothread.ts'
import { validateLaunchSecurity } from '../command/launch-security.ts'
import { validatePm } from '../command/pm.ts'
import { validateSmp } from '../command/smp.ts'
import type { QemuContext } from '../context.ts'
import { validateCpu } from '../cpu/validate.ts'
import { validateConsoles } from '../device/chardev/chardev.ts'
import { validateMemoryHotplug } from '../device/memory/align.ts'
import { validateHmat, validateMemoryBacking, validateMemtune, validateResctrl } from '../device/memory/validate.ts'
import { validatePanics } from '../device/panic.ts'
import { validateTpms } from '../device/tpm/tpm.ts'
import { validateWatchdogs } from '../device/watchdog.ts'
import { validateNvram } from '../firmware/nvram.ts'
import { validateFeatures } from './features-validate.ts'
import {
  validateAcpiTables,
  validateBootloader,
  validateFirmwareFiles,
  validateGenid,
  validateSecureBoot,
  validateSerialBios,
  validateShim,
  validateUefiAcpi
} from './os-validate.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** libvirt's checks, in its order. */
const CHECKS: ((def: DomainDef, context: QemuContext) => void)[] = [
  emulatorFits,
  validateMemtune,
  validateUefiAcpi,
  validateGenid,
  validateSerialBios,
  validateLifecycle,
  validateCpu,
  def => validateMemoryHotplug(def),
  validateIothreadPools,
  validateClock,
  validatePm,
  validateBootloader,
  validateSecureBoot,
  validateNvram,
  validateAcpiTables,
  validateShim,
  validateSmp,
  validateResctrl,
  validateFeatures,
  validateMemoryBacking,
  validateHmat,
  validateConsoles,
  validateFirmwareFiles,
  validatePanics,
  validateTpms,
  validateWatchdogs,
  validateLaunchSecurity
]

/** Checks a completed definition against QEMU and host. @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_XML_ERROR */
export function validateDomain(def: DomainDef, context: QemuContext): void {
  for (const check of CHECKS) check(def, context)
}

function emulatorFits({ os, type, devices, features }: DomainDef, { qemu }: QemuContext): void {
  const refuse = (what: string) =>
    fail('VIR_ERR_CONFIG_UNSUPPORTED', `Emulator '${devices.emulator}' does not support ${what}`)
  if (os.type !== 'hvm') throw refuse(`os type '${os.type}'`)
  if (!runsArch(qemu.arch, os.arch)) throw refuse(`arch '${os.arch}'`)
  if (!(type === 'qemu' ? qemu.has('tcg') : type === 'kvm' && qemu.kvm)) throw refuse(`virt type '${type}'`)
  if (!qemu.machines.some(({ name }) => name === os.machine)) throw refuse(`machine type '${os.machine}'`)
  if (features?.acpi && qemu.machine(os.machine ?? '')?.acpi === false) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `machine type '${os.machine}' does not support ACPI`)
  }
}

/** Actions at the end of a guest that the driver can carry out (qemuValidateLifecycleAction). */
export function validateLifecycle({ onPoweroff, onReboot, onCrash }: LifecycleActions): void {
  const unsupported = (what: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', `qemu driver doesn't support ${what}`)
  if ([onPoweroff, onReboot, onCrash].includes('rename-restart')) {
    throw unsupported("the 'rename-restart' action for 'on_reboot'/'on_poweroff'/'on_crash'")
  }
  if (onPoweroff === 'preserve' || onReboot === 'preserve') {
    throw unsupported("the 'preserve' action for 'on_reboot'/'on_poweroff'")
  }
  if (onPoweroff === 'restart' && onReboot === 'destroy') {
    throw unsupported("'onReboot' set to 'destroy and 'onPoweroff' set to 'reboot'")
  }
}
