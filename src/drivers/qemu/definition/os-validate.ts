// Checks of <os>, <genid> and fw_cfg files against machine and emulator (qemuValidateDomainDef).
import { usesPflash } from '../../../conf/domain/os-firmware.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import { isQ35, isX86 } from '../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** Checks UEFI and ACPI: on x86 UEFI needs ACPI, on 64-bit ARM ACPI needs UEFI (qemuValidateDomainDef). */
export function validateUefiAcpi(def: DomainDef): void {
  const usesUefi = def.os.firmware === 'efi' || usesPflash(def)
  const acpi = def.features?.acpi ?? false
  if (usesUefi && isX86(def) && !acpi) throw unsupported('UEFI requires ACPI on this architecture')
  if (!usesUefi && def.os.arch === 'aarch64' && acpi) throw unsupported('ACPI requires UEFI on this architecture')
}

/** Checks that QEMU has a VM generation id for a guest that asks for one. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateGenid({ genid }: DomainDef, { qemu }: QemuContext): void {
  if (genid !== undefined && !qemu.has('vmgenid'))
    throw unsupported("this QEMU does not support the 'genid' capability")
}

/** Checks a BIOS that talks over a serial port: x86 only, with such a port (qemuValidateDomainDefBoot). */
export function validateSerialBios(def: DomainDef): void {
  const { os, devices } = def
  if (!os.bios?.useserial) return
  if (!isX86(def)) throw unsupported('BIOS serial console only supported on x86 architectures')
  if (devices.serials.length === 0)
    throw fail('VIR_ERR_XML_ERROR', 'need at least one serial port to use BIOS serial output')
}

/** Boot loaders of the host are other hypervisors' (qemuValidateDomainDefBoot). */
export function validateBootloader({ bootloader, bootloaderArgs }: DomainDef): void {
  if (bootloader !== undefined || bootloaderArgs !== undefined) throw unsupported('bootloader is not supported by QEMU')
}

/** ACPI tables that QEMU takes; sets of them are other hypervisors' (qemuValidateDomainDefBoot). */
export function validateAcpiTables({ os }: DomainDef): void {
  for (const { type } of os.acpiTables ?? [])
    if (type === 'rawset') throw unsupported(`ACPI table type '${type}' is not supported`)
}

/** Checks that QEMU takes a shim beside the kernel (qemuValidateDomainDefBoot). */
export function validateShim({ os }: DomainDef, { qemu }: QemuContext): void {
  if (os.shim !== undefined && !qemu.has('shim')) throw unsupported('shim is not supported by this QEMU binary')
}

/** Secure Boot by a named loader (qemuValidateDomainDefBoot). */
export function validateSecureBoot(def: DomainDef): void {
  const { os, features } = def
  if (!os.loader?.secure) return
  if (!isQ35(def)) throw unsupported('Secure boot is supported with q35 machine types only')
  if (os.arch !== 'x86_64') throw unsupported('Secure boot is supported for x86_64 architecture only')
  if (!os.firmware && features?.smm?.state !== true) throw unsupported('Secure boot requires SMM feature enabled')
}

/** fw_cfg names of the user's own lie below opt/ (qemuValidateDomainDefSysinfo). */
export function validateFirmwareFiles({ sysinfo }: DomainDef): void {
  for (const info of sysinfo) {
    if (info.type !== 'fwcfg') continue
    for (const { name } of info.entries) {
      if (!name.startsWith('opt/')) throw unsupported('Invalid firmware name')
      if (/^opt\/(ovmf|org\.qemu)\//.test(name)) throw unsupported('That firmware name is reserved')
    }
  }
}
