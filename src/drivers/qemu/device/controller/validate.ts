// <controller>: what QEMU can do (qemuValidateDomainDeviceDefController).
import type { ControllerDef } from '../../../../conf/devices/controller.ts'
import { isVirtioScsi, type ScsiModel } from '../../../../conf/devices/controller-models.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { Qemu } from '../../capabilities/qemu.ts'
import type { Capability } from '../../capabilities/signs.ts'
import type { QemuContext } from '../../context.ts'
import { hasBuiltinEsp, hasBuiltinIde, isQ35 } from '../../machine-type.ts'
import { validateIothreadMapping } from '../../parts/iothread-mapping.ts'
import { validatePciController } from './pci-validate.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** @throws VIR_ERR_CONFIG_UNSUPPORTED; of PCI controllers as validatePciController */
export function validateController(dev: ControllerDef, def: DomainDef, context: QemuContext): void {
  if (dev.type === 'scsi') checkScsiModel(dev, context.qemu)
  checkVirtioScsiOptions(dev)
  if (dev.type === 'ide') checkIde(dev, def)
  if (dev.type === 'scsi') checkScsi(dev, def, context.qemu)
  if (dev.type === 'pci') validatePciController(dev, def, context)
  // the first SATA controller of Q35 is part of the machine
  if (dev.type === 'sata' && (dev.index !== 0 || !isQ35(def)) && !context.qemu.has('ich9-ahci')) {
    throw unsupported('SATA is not supported with this QEMU binary')
  }
}

/** QEMU's capability for each SCSI model, and libvirt's name of it; the ESP models pass without, as in libvirt. */
const SCSI_MODELS: Partial<Record<ScsiModel, [Capability, string]>> = {
  lsilogic: ['lsi', 'the LSI 53C895A SCSI controller'],
  'virtio-scsi': ['virtio-scsi-pci', 'virtio scsi controller'],
  'virtio-transitional': ['virtio-scsi-pci', 'virtio scsi controller'],
  'virtio-non-transitional': ['virtio-scsi-pci', 'virtio scsi controller'],
  lsisas1068: ['mptsas1068', 'the LSI SAS1068 (MPT Fusion) controller'],
  lsisas1078: ['megasas', 'the LSI SAS1078 (MegaRAID) controller'],
  vmpvscsi: ['pvscsi', 'the pvscsi (VMware paravirtual SCSI) controller']
}

/** qemuValidateCheckSCSIControllerModel */
function checkScsiModel({ model }: ControllerDef, qemu: Qemu): void {
  if (model === 'buslogic') throw unsupported(`Unsupported controller model: ${model}`)
  const [needed, name] = SCSI_MODELS[model as ScsiModel] ?? []
  if (needed !== undefined && !qemu.has(needed)) throw unsupported(`This QEMU doesn't support ${name}`)
}

/** qemuValidateDomainDeviceDefControllerAttributes */
function checkVirtioScsiOptions({ type, model, driver }: ControllerDef): void {
  if (!driver || (type === 'scsi' && isVirtioScsi(model))) return
  const options = [
    ['queues', driver.queues, 'by'],
    ['cmd_per_lun', driver.cmdPerLun, 'by'],
    ['max_sectors', driver.maxSectors, 'by'],
    ['ioeventfd', driver.ioeventfd, 'by'],
    ['iothread', driver.iothread, 'for']
  ] as const
  for (const [name, value, word] of options) {
    if (value !== undefined) throw unsupported(`'${name}' is only supported ${word} virtio-scsi controller`)
  }
}

/** IDE controllers are always part of the machine. */
function checkIde({ index }: ControllerDef, def: DomainDef): void {
  if (!hasBuiltinIde(def)) {
    throw unsupported('IDE controllers are unsupported for this QEMU binary or machine type')
  }
  if (index !== 0) throw unsupported('Only a single IDE controller is supported for this machine type')
}

function checkScsi({ model, index, driver, address }: ControllerDef, def: DomainDef, qemu: Qemu): void {
  if (model === 'ncr53c90') {
    if (index !== 0) throw unsupported('ncr53c90 can only be used as first SCSI controller')
    if (!hasBuiltinEsp(def)) throw unsupported('ncr53c90 SCSI controller is not a built-in for this machine')
  }
  const { iothread, iothreads, queues } = driver ?? {}
  if (iothread === undefined && !iothreads) return
  if (address && address.type !== 'pci' && address.type !== 'ccw') {
    throw unsupported('virtio-scsi IOThreads only available for virtio pci and virtio ccw controllers')
  }
  if (iothreads && !qemu.has('virtio-scsi.iothread-mapping')) {
    throw unsupported('IOThread mapping for virtio-scsi controllers is not available with this QEMU binary')
  }
  validateIothreadMapping(def, iothreads, queues)
  if (iothread !== undefined && !def.iothreads.some(({ id }) => id === iothread)) {
    throw unsupported(`controller iothread '${iothread}' not defined in iothreadid`)
  }
}
