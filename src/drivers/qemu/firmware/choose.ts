// Choice of a guest's firmware: the first descriptor that has all the definition asks for, which then names every file
// and format. A definition that names them all chooses itself again (qemu_firmware.c).
import { FIRMWARE_FORMATS, type FirmwareFormat, validateFirmware } from '../../../conf/domain/os-firmware.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom, VirError } from '../../../conf/error.ts'
import { isLocalStorage } from '../../../conf/storage/source.ts'
import type { QemuContext } from '../context.ts'
import { type FirmwareDescriptor, type FirmwareMapping, readDescriptors } from './descriptors.ts'
import { ensureNvram } from './nvram.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const INTERFACE_OF = { bios: 'bios', efi: 'uefi', rom: 'bios', pflash: 'uefi' } as const

/** Bit of the SEV policy that asks for encrypted register state. */
const SEV_ES_POLICY = 1 << 2

/** Features that guests of a kind of launch security ask of their firmware. */
const SECURITY_FEATURES: Record<string, string> = { sev: 'amd-sev', 'sev-snp': 'amd-sev-snp', tdx: 'intel-tdx' }

/** Variables of images that no descriptor speaks of; libvirt's built-in list (DEFAULT_LOADER_NVRAM). */
const LEGACY_TEMPLATES: Record<string, string> = {
  '/usr/share/OVMF/OVMF_CODE.fd': '/usr/share/OVMF/OVMF_VARS.fd',
  '/usr/share/OVMF/OVMF_CODE.secboot.fd': '/usr/share/OVMF/OVMF_VARS.fd',
  '/usr/share/AAVMF/AAVMF_CODE.fd': '/usr/share/AAVMF/AAVMF_VARS.fd',
  '/usr/share/AAVMF/AAVMF32_CODE.fd': '/usr/share/AAVMF/AAVMF32_VARS.fd'
}

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

function matchesInterface({ os }: DomainDef, { interfaces }: FirmwareDescriptor): boolean {
  const kind = os.firmware ?? os.loader?.type
  return kind !== undefined && interfaces.includes(INTERFACE_OF[kind])
}

/** Files that the definition names are the descriptor's (qemuFirmwareMatchesPaths). */
function matchesPaths({ os: { loader, kernel } }: DomainDef, { mapping }: FirmwareDescriptor): boolean {
  const isSame = (named: string | undefined, file: string | undefined) => named === undefined || named === file
  if (mapping.device !== 'flash') return isSame(mapping.device === 'kernel' ? kernel : loader?.path, mapping.filename)
  return (
    isSame(loader?.path, mapping.executable.filename) && isSame(loader?.nvramTemplate, mapping.nvramTemplate?.filename)
  )
}

function matchesFeatures({ os, pm }: DomainDef, { features }: FirmwareDescriptor): boolean {
  if (pm?.suspendToMem && !features.has('acpi-s3')) return false
  if (pm?.suspendToDisk && !features.has('acpi-s4')) return false
  return (['secure-boot', 'enrolled-keys'] as const).every(name => {
    const wanted = os.firmwareFeatures?.[name]
    return wanted === undefined || wanted === features.has(name)
  })
}

function matchesSmm({ os, features: { smm } = {} }: DomainDef, { features }: FirmwareDescriptor): boolean {
  const { secure } = os.loader ?? {}
  return features.has('requires-smm') ? smm?.state !== false && secure !== false : secure !== true
}

const MAPPED_TYPE = { flash: 'pflash', memory: 'rom', kernel: undefined } as const

const isFirmwareFormat = (format: string): format is FirmwareFormat => FIRMWARE_FORMATS.some(one => one === format)

function matchesMapping({ os: { loader } }: DomainDef, { mapping }: FirmwareDescriptor): boolean {
  const type = MAPPED_TYPE[mapping.device]
  if (!type) return true
  // code that can be written would keep its variables in itself
  if ((loader?.type ?? type) !== type || loader?.readonly === false) return false
  if (mapping.device !== 'flash') return true
  const { mode, executable, nvramTemplate } = mapping
  return (
    mode === (loader?.stateless ? 'stateless' : 'split') &&
    isFirmwareFormat(executable.format) &&
    (loader?.format ?? executable.format) === executable.format &&
    (!nvramTemplate || isFirmwareFormat(nvramTemplate.format))
  )
}

function matchesSecurity({ launchSecurity }: DomainDef, { features }: FirmwareDescriptor): boolean {
  if (!launchSecurity) return true
  const needed = SECURITY_FEATURES[launchSecurity.type]
  if (needed !== undefined && !features.has(needed)) return false
  const hasSecretState = launchSecurity.type === 'sev' && ((launchSecurity.policy ?? 0) & SEV_ES_POLICY) !== 0
  return !hasSecretState || features.has('amd-sev-es')
}

const DEMANDS: ((def: DomainDef, descriptor: FirmwareDescriptor) => boolean)[] = [
  matchesInterface,
  matchesPaths,
  ({ os }, descriptor) => matchesMachine(descriptor, os.arch, os.machine ?? ''),
  matchesFeatures,
  matchesSmm,
  matchesMapping,
  matchesSecurity
]

/** True if the guest can have this firmware and asks for no more than it has (qemuFirmwareMatchDomain). */
export const matchesDomain = (def: DomainDef, descriptor: FirmwareDescriptor): boolean =>
  DEMANDS.every(matches => matches(def, descriptor))

/** Puts the firmware into the definition (qemuFirmwareEnableFeaturesModern). */
function useFirmware(def: DomainDef, { interfaces, mapping, features }: FirmwareDescriptor): void {
  const { os } = def
  if (mapping.device === 'flash') useFlash(def, mapping)
  else if (mapping.device === 'kernel') os.kernel = mapping.filename
  else os.loader = { ...os.loader, type: 'rom', path: mapping.filename }
  if (features.has('requires-smm')) {
    def.features = { ...def.features, smm: { ...def.features?.smm, state: true } }
    os.loader = { ...os.loader, secure: true }
  }
  if (!os.firmware) {
    const kind = interfaces.find(one => one === 'bios' || one === 'uefi')
    if (!kind) return
    os.firmware = kind === 'uefi' ? 'efi' : kind
  }
  os.firmwareFeatures = { 'secure-boot': features.has('secure-boot') }
  if (knowsKeys(def)) os.firmwareFeatures['enrolled-keys'] = features.has('enrolled-keys')
}

/** Variables that are kept elsewhere may hold any keys (qemuFirmwareSetOsFeatures). */
const knowsKeys = ({ os: { loader } }: DomainDef): boolean =>
  loader?.type !== 'pflash' || loader.stateless === true || loader.nvramTemplate !== undefined

function useFlash({ os }: DomainDef, { executable, nvramTemplate }: FirmwareMapping & { device: 'flash' }): void {
  const { nvramTemplate: _path, nvramTemplateFormat: _format, ...kept } = os.loader ?? {}
  const { nvram } = kept
  os.loader = {
    ...kept,
    type: 'pflash',
    readonly: true,
    path: executable.filename,
    format: executable.format as FirmwareFormat,
    // only a store on this host can be made from it
    ...(nvramTemplate &&
      (!nvram || isLocalStorage(nvram.source)) && {
        nvramTemplate: nvramTemplate.filename,
        nvramTemplateFormat: nvramTemplate.format as FirmwareFormat
      })
  }
}

/** Completes UEFI that is named by a path of the built-in list (qemuFirmwareFillDomainLegacy). */
function useLegacyFirmware({ os: { loader } }: DomainDef): void {
  if (loader?.type !== 'pflash' || loader.readonly === false || loader.stateless) return
  const template = LEGACY_TEMPLATES[loader.path ?? '']
  if (template === undefined || (loader.format ?? 'raw') !== 'raw') return
  loader.readonly = true
  loader.nvramTemplate ??= template
  loader.nvramTemplateFormat ??= 'raw'
}

/**
 * Chooses the firmware of a guest, or completes what the user says of it (qemuFirmwareFillDomain).
 * @param abiUpdate for a new definition
 * @throws VIR_ERR_OPERATION_FAILED when the host has none that fits, VIR_ERR_XML_DETAIL for what none can be
 */
export function fillFirmware(def: DomainDef, context: QemuContext, abiUpdate = false): void {
  validateFirmware(def)
  const { os } = def
  if (!os.firmware && (!os.loader || os.loader.type === 'rom')) return
  const found = readDescriptors(context).find(descriptor => matchesDomain(def, descriptor))
  if (found) useFirmware(def, found)
  else if (os.firmware) {
    throw fail(
      'VIR_ERR_OPERATION_FAILED',
      `Unable to find '${os.firmware}' firmware that is compatible with the current configuration`
    )
  } else {
    useLegacyFirmware(def)
    if (os.loader) os.loader.format ??= 'raw'
  }
  ensureNvram(def, context, abiUpdate)
}

/**
 * Fills firmware into a definition. One that is read again is kept if none fits: its start says so
 * (qemuDomainDefBootPostParse).
 * @throws as fillFirmware for a new definition
 */
export function postParseFirmware(def: DomainDef, context: QemuContext, abiUpdate: boolean): void {
  // one that says of no format was written when there was no other
  if (!abiUpdate && def.os.firmware) def.os.loader = { ...def.os.loader, format: def.os.loader?.format ?? 'raw' }
  try {
    fillFirmware(def, context, abiUpdate)
  } catch (error) {
    if (abiUpdate || !(error instanceof VirError)) throw error
  }
}
