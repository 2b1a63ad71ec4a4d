// Choice of a guest's firmware: the first descriptor that has everything the definition asks for (qemu_firmware.c).
import type { LoaderDef } from '../../../conf/domain/os-firmware.ts'
import { usesReadonlyPflash } from '../../../conf/domain/os-firmware.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import { type FirmwareDescriptor, type FirmwareMapping, readDescriptors } from './descriptors.ts'
import { defaultNvram, nvramExists } from './nvram.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const INTERFACE_OF = { bios: 'bios', efi: 'uefi', rom: 'bios', pflash: 'uefi' } as const

/** Bit of the SEV policy that asks for encrypted register state. */
const SEV_ES_POLICY = 1 << 2

/** A machine name against a pattern with * and ? (g_pattern_match_simple). */
function matchesPattern(pattern: string, name: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replace(/\?/g, '.')
  return new RegExp(`^${source}$`, 's').test(name)
}

/** True if machines of that name can have this firmware (qemuFirmwareMatchesMachineArch). */
export const matchesMachine = ({ targets }: FirmwareDescriptor, arch: string | undefined, machine: string): boolean =>
  targets.some(target => target.arch === arch && target.machines.some(pattern => matchesPattern(pattern, machine)))

/** True if the guest can have this firmware and asks for no more than it has (qemuFirmwareMatchDomain). */
export function matchesDomain(def: DomainDef, descriptor: FirmwareDescriptor): boolean {
  const { interfaces, mapping, features } = descriptor
  const { os } = def
  const flash = mapping.device === 'flash' ? mapping : undefined
  if (!os.firmware && os.loader && flash?.executable.filename !== os.loader.path) return false
  const kind = os.firmware ?? os.loader?.type
  if (!kind || !interfaces.includes(INTERFACE_OF[kind])) return false
  if (!matchesMachine(descriptor, os.arch, os.machine ?? '')) return false
  if (def.pm?.suspendToMem && !features.has('acpi-s3')) return false
  if (def.pm?.suspendToDisk && !features.has('acpi-s4')) return false
  for (const name of ['secure-boot', 'enrolled-keys'] as const) {
    const wanted = os.firmwareFeatures?.[name]
    if (wanted !== undefined && wanted !== features.has(name)) return false
  }
  if (os.loader?.secure && !features.has('requires-smm')) return false
  const sev = def.launchSecurity?.type === 'sev' ? def.launchSecurity : undefined
  if (sev && !features.has('amd-sev')) return false
  if (sev && ((sev.policy ?? 0) & SEV_ES_POLICY) !== 0 && !features.has('amd-sev-es')) return false
  return !flash || flash.mode === (os.loader?.stateless ? 'stateless' : 'split')
}

/** Puts the firmware into the definition (qemuFirmwareEnableFeatures). */
function useFirmware(def: DomainDef, { mapping, features }: FirmwareDescriptor, context: QemuContext): void {
  const loader = def.os.loader ?? {}
  if (mapping.device === 'kernel') def.os.kernel = mapping.filename
  else def.os.loader = loader
  if (mapping.device === 'memory') Object.assign(loader, { type: 'rom', path: mapping.filename })
  if (mapping.device === 'flash') useFlash(loader, mapping, def, context)
  if (!features.has('requires-smm')) return
  const smm = def.features?.smm
  if (smm?.state === false) {
    throw fail('VIR_ERR_OPERATION_INVALID', 'domain has SMM turned off but chosen firmware requires it')
  }
  def.features = { ...def.features, smm: { ...smm, state: true } }
  loader.secure = true
}

function useFlash(
  loader: LoaderDef,
  { executable, mode, nvramTemplate }: FirmwareMapping & { device: 'flash' },
  def: DomainDef,
  context: QemuContext
): void {
  const unsupported = (message: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', message)
  loader.type = 'pflash'
  loader.readonly = true
  if (executable.format !== 'raw') throw unsupported(`unsupported flash format '${executable.format}'`)
  loader.path = executable.filename
  if (mode !== 'split' || !nvramTemplate) return
  if (nvramTemplate.format !== 'raw') throw unsupported(`unsupported nvram template format '${nvramTemplate.format}'`)
  loader.nvramTemplate = nvramTemplate.filename
  loader.nvram ??= defaultNvram(def, context)
}

/**
 * Chooses the firmware of a guest that is about to start; for UEFI named by path only the template of its variable store
 * is looked for (qemuFirmwareFillDomain).
 * @throws VIR_ERR_OPERATION_FAILED when the host has none that fits
 */
export function fillFirmware(def: DomainDef, context: QemuContext): void {
  const { firmware, loader } = def.os
  if (!firmware) {
    if (!usesReadonlyPflash(def) || loader?.nvramTemplate !== undefined || nvramExists(loader?.nvram)) return
  }
  const found = readDescriptors(context).find(descriptor => matchesDomain(def, descriptor))
  if (found) {
    useFirmware(def, found, context)
    def.os.firmware = undefined
  } else if (firmware) {
    throw fail('VIR_ERR_OPERATION_FAILED', `Unable to find any firmware to satisfy '${firmware}'`)
  }
}
