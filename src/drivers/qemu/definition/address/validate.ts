// QEMU's checks of the fields every device has: address, ACPI index, option ROM (qemuValidateDomainDeviceInfo).
import { findController } from '../../../../conf/controllers.ts'
import type { Address, DriveAddress } from '../../../../conf/devices/device-address.ts'
import type { DiskBus, DiskDef } from '../../../../conf/devices/disk.ts'
import type { AnyDevice, DeviceKind } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { QemuContext } from '../../context.ts'
import { isS390Ccw } from '../../machine-type.ts'
import { ZPCI_MAX_UID } from './zpci.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

const MAX_VIO_REG = 0xffffffffn

/** Checks one device. @throws VIR_ERR_CONFIG_UNSUPPORTED, for drives VIR_ERR_INTERNAL_ERROR too */
export function validateDeviceInfo(kind: DeviceKind, dev: AnyDevice, def: DomainDef, context: QemuContext): void {
  const { address, acpiIndex, rom } = dev
  if (address) validateAddress(kind, dev, address, def, context)
  const isPci = address === undefined || address.type === 'pci'
  if (acpiIndex !== undefined) {
    if (!context.qemu.has('acpi-index')) throw unsupported('ACPI index is not supported with this QEMU')
    if (!isPci) throw unsupported('ACPI index is only supported for PCI devices')
  }
  if (rom && !isPci && address.type !== 'unassigned') {
    throw unsupported('ROM tuning is only supported for PCI devices')
  }
}

/** qemuValidateDomainDeviceDefAddress */
function validateAddress(
  kind: DeviceKind,
  dev: AnyDevice,
  address: Address,
  def: DomainDef,
  { qemu }: QemuContext
): void {
  switch (address.type) {
    case 'pci': {
      const { uid, fid } = address.zpci ?? {}
      if ((uid ?? fid) !== undefined && !qemu.has('zpci')) throw unsupported("This QEMU binary doesn't support zPCI")
      if (uid !== undefined && (uid === 0 || uid > ZPCI_MAX_UID)) {
        const hex = uid.toString(16).padStart(4, '0')
        throw fail('VIR_ERR_XML_ERROR', `Invalid PCI address uid='0x${hex}', must be > 0x0000 and <= 0xffff`)
      }
      return
    }
    case 'spapr-vio':
      if (address.reg !== undefined && address.reg > MAX_VIO_REG) {
        const hex = address.reg.toString(16)
        throw unsupported(`spapr-vio reg='0x${hex}' exceeds maximum possible value (0xffffffff)`)
      }
      return
    case 'ccw':
      if (!isS390Ccw(def)) {
        throw unsupported(`CCW addresses are not supported by machine type '${def.os.machine}'`)
      }
      return
    case 'drive':
      // a drive address of another device than a disk is a SCSI host device's
      validateDrive(kind === 'disks' ? (dev as DiskDef).target?.bus : 'scsi', address, def)
  }
}

/** A rule for drive addresses: gives libvirt's error for an address that breaks it. */
type DriveRule = (address: DriveAddress, def: DomainDef) => Error | undefined

const internal = (message: string) => fail('VIR_ERR_INTERNAL_ERROR', message)

/** libvirt's rules by bus, in its order (qemuValidateDomainDeviceDefAddressDrive). */
const DRIVE_RULES: Partial<Record<DiskBus, DriveRule[]>> = {
  scsi: [
    ({ bus }) => (bus !== 0 ? internal('SCSI controller only supports 1 bus') : undefined),
    ({ controller, target }, def) =>
      target !== 0 && findController(def, 'scsi', controller)?.model === 'lsilogic'
        ? unsupported("target must be 0 for controller model 'lsilogic'")
        : undefined
  ],
  ide: [
    ({ controller }) => (controller !== 0 ? internal('Only 1 IDE controller is supported') : undefined),
    ({ target }) => (target !== 0 ? unsupported('target must be 0 for ide controller') : undefined)
  ],
  fdc: [
    ({ controller }) => (controller !== 0 ? internal('Only 1 fdc controller is supported') : undefined),
    ({ bus }) => (bus !== 0 ? internal('Only 1 fdc bus is supported') : undefined),
    ({ target }) => (target !== 0 ? unsupported('target must be 0 for controller fdc') : undefined)
  ],
  sata: [
    ({ bus }) => (bus !== 0 ? unsupported('bus must be 0 for sata controller') : undefined),
    ({ target }) => (target !== 0 ? unsupported('target must be 0 for sata controller') : undefined)
  ]
}

function validateDrive(bus: DiskBus | undefined, address: DriveAddress, def: DomainDef): void {
  for (const rule of (bus && DRIVE_RULES[bus]) ?? []) {
    const error = rule(address, def)
    if (error) throw error
  }
}
