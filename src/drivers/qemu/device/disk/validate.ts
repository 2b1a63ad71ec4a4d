// Checks that QEMU can have a disk, in libvirt's order (qemuValidateDomainDeviceDefDisk).
import type { DiskBus, DiskDef } from '../../../../conf/devices/disk.ts'
import { hasIoTuneLimits, IOTUNE_RATES, type IoTune, sameIoTune } from '../../../../conf/devices/disk-iotune.ts'
import { diskPartition } from '../../../../conf/devices/disk-name.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { storageChain } from '../../../../conf/storage/chain.ts'
import { isStorageEmpty } from '../../../../conf/storage/source.ts'
import { validateStorage } from '../../block/validate.ts'
import type { Qemu } from '../../capabilities/qemu.ts'
import type { Capability } from '../../capabilities/signs.ts'
import type { QemuContext } from '../../context.ts'
import { isPseries } from '../../machine-type.ts'
import { validateIothreadMapping } from '../../parts/iothread-mapping.ts'
import { requireSharedMemory } from '../filesystem/shared-memory.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
const internal = (message: string) => fail('VIR_ERR_INTERNAL_ERROR', message)

type Check = (disk: DiskDef, def: DomainDef, qemu: Qemu) => void

const isOn = ({ target }: DiskDef, ...buses: DiskBus[]): boolean =>
  target?.bus !== undefined && buses.includes(target.bus)

function validateGeometry(disk: DiskDef): void {
  const { cylinders, heads, sectors, translation } = disk.geometry ?? {}
  if (!cylinders || !heads || !sectors) return
  const bus = disk.target?.bus
  if (isOn(disk, 'usb', 'sd')) throw unsupported(`CHS geometry can not be set for '${bus}' bus`)
  if (translation && bus !== 'ide') throw unsupported(`CHS translation mode can only be set for 'ide' bus not '${bus}'`)
}

function validateMedium(disk: DiskDef): void {
  const { target, device, driver } = disk
  if (disk.serial && isOn(disk, 'sd')) throw internal(`Serial property not supported for drive bus '${target?.bus}'`)
  if (device === 'cdrom' && isOn(disk, 'virtio', 'sd'))
    throw unsupported(`disk type of '${target?.dev}' does not support ejectable media`)
  if (!driver.copyOnRead) return
  if (disk.readonly) throw unsupported(`copy_on_read is not compatible with read-only disk '${target?.dev}'`)
  if (device === 'cdrom' || device === 'floppy')
    throw unsupported(`copy_on_read is not supported with removable disk '${target?.dev}'`)
}

function validateIdentity(disk: DiskDef): void {
  if (disk.wwn && !isOn(disk, 'ide', 'scsi')) throw unsupported('Only ide and scsi disk support wwn')
  if (disk.vendor && !isOn(disk, 'scsi')) throw unsupported("Only scsi disk supports 'vendor'")
  if (disk.product && !isOn(disk, 'ide', 'sata', 'scsi'))
    throw unsupported("Only ide, sata and scsi disk supports 'product'")
}

function validateLun(disk: DiskDef, _def: DomainDef, qemu: Qemu): void {
  if (disk.device !== 'lun') return
  if (!isOn(disk, 'virtio', 'scsi'))
    throw unsupported(`disk device='lun' is not supported for bus='${disk.target?.bus}'`)
  if (isOn(disk, 'scsi') && !qemu.has('scsi-block'))
    throw unsupported("This QEMU doesn't support scsi-block for lun passthrough")
  if (isOn(disk, 'virtio') && !qemu.has('virtio-blk-pci.scsi'))
    throw unsupported("This QEMU doesn't support SCSI emulation with 'virtio-blk' device")
  if (disk.driver.copyOnRead) throw unsupported(`copy_on_read is not compatible with 'lun' disk '${disk.target?.dev}'`)
  if (disk.wwn) throw unsupported('Setting wwn is not supported for lun device')
  if (disk.vendor || disk.product) throw unsupported('Setting vendor or product is not supported for lun device')
}

function validateRotation(disk: DiskDef, _def: DomainDef, qemu: Qemu): void {
  if (!disk.target?.rotationRate) return
  if (!isOn(disk, 'scsi', 'ide', 'sata')) throw internal('rotation rate is only valid for SCSI/IDE/SATA bus')
  if (disk.device !== 'disk') throw internal('rotation rate is only valid for disk device')
  if (!qemu.has('rotation-rate')) throw internal('rotation rate is not supported with this QEMU')
}

function validateBus(disk: DiskDef, _def: DomainDef, qemu: Qemu): void {
  const { target, address, driver } = disk
  const needs = (capability: Capability, message: string) => {
    if (!qemu.has(capability)) throw unsupported(message)
  }
  if (isOn(disk, 'scsi', 'ide', 'fdc', 'sata') && address?.type !== 'drive')
    throw internal(`unexpected address type for ${target?.bus} disk`)
  if (isOn(disk, 'virtio') && driver.queueSize)
    needs('virtio-blk.queue-size', "queue-size property isn't supported by this QEMU binary")
  if (!isOn(disk, 'usb')) return
  needs('usb-storage', "This QEMU doesn't support '-device usb-storage'")
  if (isStorageEmpty(disk.source)) throw unsupported("'usb' disk must not be empty")
  if (address && address.type !== 'usb') throw internal('unexpected address type for usb disk')
}

function validateAccess(disk: DiskDef, _def: DomainDef, qemu: Qemu): void {
  const { driver, device } = disk
  if (disk.readonly && device === 'disk' && isOn(disk, 'ide', 'sata'))
    throw unsupported(`readonly ${disk.target?.bus} disks are not supported`)
  if (driver.io === 'native' && driver.cache !== 'directsync' && driver.cache !== 'none')
    throw unsupported("io='native' needs either no disk cache or directsync cache mode")
  if (driver.io === 'io_uring' && !qemu.has('aio.io_uring'))
    throw unsupported('io uring is not supported by this QEMU binary')
}

/** Characters QEMU takes in a serial number. */
const SERIAL = /^[A-Za-z0-9\-_ .+]*$/

function validateSerial(disk: DiskDef): void {
  const { serial } = disk
  if (!serial) return
  if (isOn(disk, 'scsi') && disk.device === 'lun')
    throw unsupported("scsi-block 'lun' devices do not support the serial property")
  if (!SERIAL.test(serial)) throw internal(`driver serial '${serial}' contains unsafe characters`)
}

/** qemuValidateDomainDeviceDefDiskIOThreads */
function validateIothreads(disk: DiskDef, def: DomainDef, qemu: Qemu): void {
  const { iothread, iothreads, queues } = disk.driver
  if (!iothread && !iothreads) return
  const { bus, dev } = disk.target ?? {}
  if (bus !== 'virtio') throw unsupported(`IOThreads not available for bus ${bus} target ${dev}`)
  if (iothreads && !qemu.has('virtio-blk.iothread-mapping'))
    throw unsupported(`IOThread mapping for disk '${dev}' is not available with this QEMU binary`)
  validateIothreadMapping(def, iothreads, queues)
  if (iothread && !def.iothreads.some(({ id }) => id === iothread))
    throw unsupported(`Disk iothread '${iothread}' not defined in iothreadid`)
}

/** Highest limit of throttling that QEMU takes. */
const IOTUNE_MAX = 1_000_000_000_000_000n

/** A disk of the same group with other limits. */
function ofOtherLimits(disk: DiskDef, iotune: IoTune, disks: DiskDef[]): DiskDef | undefined {
  let isLater = false
  for (const one of disks) {
    if (one === disk) isLater = true
    if (one.iotune?.group_name !== iotune.group_name || one.target?.dev === disk.target?.dev) continue
    if (!sameIoTune(one.iotune, iotune)) return one
    // an earlier disk has been compared with all others
    if (!isLater) return undefined
  }
  return undefined
}

/** qemuValidateDomainDeviceDefDiskBlkdeviotune */
function validateIoTune(disk: DiskDef, { devices }: DomainDef): void {
  const { iotune, target } = disk
  if (!iotune) return
  const group = iotune.group_name
  if (group !== undefined) {
    if (!hasIoTuneLimits(iotune)) throw unsupported('group_name can be configured only together with settings')
  }
  if (target?.bus === 'sd' && hasIoTuneLimits(iotune)) throw unsupported("<iotune> is not supported with bus='sd'")
  if (group !== undefined) {
    const other = ofOtherLimits(disk, iotune, devices.disks)
    if (other) throw unsupported(`different iotunes for disks ${target?.dev} and ${other.target?.dev}`)
  }
  if (IOTUNE_RATES.some(limit => (iotune[limit] ?? 0n) > IOTUNE_MAX)) {
    throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', `block I/O throttle limit must be no more than ${IOTUNE_MAX} using QEMU`)
  }
}

/** The guest may be restarted rather than ended in some case (qemuProcessRebootAllowed). */
function isRebootAllowed({ onPoweroff, onReboot, onCrash }: DomainDef): boolean {
  return [onPoweroff, onReboot, onCrash].some(action => action !== undefined && action !== 'destroy')
}

/** qemuValidateDomainDeviceDefDiskTransient */
function validateTransient(disk: DiskDef, def: DomainDef, qemu: Qemu): void {
  if (!disk.transient) return
  const dev = disk.target?.dev
  if (isStorageEmpty(disk.source)) throw unsupported(`transient disk '${dev}' must not be empty`)
  if (disk.readonly) throw unsupported(`transient disk '${dev}' must not be read-only`)
  if (disk.source.type !== 'file') throw unsupported(`transient disk supported only with 'file' type (${dev})`)
  if (disk.device !== 'disk') throw unsupported(`transient disk supported only with 'disk' device (${dev})`)
  if (!disk.transient.shareBacking) return
  if (!qemu.has('set-action') && !isRebootAllowed(def)) {
    throw unsupported(
      "transient disk backing image sharing with destroy action of lifecycle isn't supported by this QEMU binary"
    )
  }
  if (!isOn(disk, 'usb', 'virtio', 'scsi'))
    throw unsupported(`disk bus '${disk.target?.bus}' doesn't support transiend disk backing image sharing`)
}

function validateName({ target, driver, source, readonly, shareable }: DiskDef, _def: DomainDef, qemu: Qemu): void {
  const dev = target?.dev ?? ''
  if (shareable && !readonly && source.format !== 'raw')
    throw unsupported(`shared access for disk '${dev}' requires use of supported storage format`)
  if (driver.name !== undefined && driver.name !== 'qemu')
    throw unsupported(`unsupported driver name '${driver.name}' for disk '${dev}'`)
  const partition = diskPartition(dev)
  if (partition === undefined) throw unsupported(`invalid disk target '${dev}'`)
  if (partition !== 0) throw unsupported(`invalid disk target '${dev}', partitions can't appear in disk targets`)
  if (driver.discardNoUnref !== undefined && !qemu.has('qcow2-discard-no-unref'))
    throw unsupported("'discard_no_unref' is not supported by this QEMU binary")
}

function validateImages({ source, target, readonly }: DiskDef, _def: DomainDef, qemu: Qemu): void {
  for (const [depth, image] of storageChain(source).entries())
    validateStorage(image, depth > 0 || (readonly ?? false), qemu)
  if (target?.bus === 'sd' && source.encryption && source.encryption.secrets.length > 1)
    throw unsupported(`sd card '${target.dev}' does not support multiple encryption secrets`)
}

/** Disks that QEMU hands on to another process or device. */
const VHOST = { vhostuser: 'vhost-user-blk', vhostvdpa: 'virtio-blk-vhost-vdpa' } as const

function validateVhost({ source: { type }, driver }: DiskDef, def: DomainDef, qemu: Qemu): void {
  if (type !== 'vhostuser' && type !== 'vhostvdpa') return
  if (!qemu.has(VHOST[type])) throw unsupported(`${type} disk is not supported with this QEMU binary`)
  requireSharedMemory(def, type)
  if (type === 'vhostvdpa' && driver.cache !== 'directsync' && driver.cache !== 'none')
    throw unsupported(`disk type '${type}' requires cache mode 'directsync' or 'none'`)
}

/** Intervals are a property of the guest's device; histograms are told to any. */
function validateStatistics({ driver, source, target }: DiskDef, _def: DomainDef, qemu: Qemu): void {
  if (!driver.statistics?.intervals.length || source.type === 'vhostuser') return
  const what = 'statistics collection is not supported by'
  if (!qemu.has('virtio-blk.stats-intervals')) throw unsupported(`${what} this QEMU binary`)
  if (target?.bus === 'fdc' || target?.bus === 'sd') {
    throw unsupported(`${what} disks on bus '${target.bus}'`)
  }
}

const CHECKS: Check[] = [
  validateGeometry,
  validateMedium,
  validateIdentity,
  validateLun,
  validateRotation,
  validateBus,
  validateAccess,
  validateSerial,
  validateIothreads,
  validateIoTune,
  validateStatistics,
  validateTransient,
  validateName,
  validateImages,
  validateVhost
]

/** @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_INTERNAL_ERROR, VIR_ERR_ARGUMENT_UNSUPPORTED */
export function validateQemuDisk(disk: DiskDef, def: DomainDef, { qemu }: QemuContext): void {
  for (const check of CHECKS) check(disk, def, qemu)
}

/** Refuses disks no guest can be started with (qemuProcessStartValidateDisks). @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateDisksStart(def: DomainDef, { qemu }: QemuContext): void {
  for (const { source, device } of def.devices.disks) {
    if (source.type === 'network' && source.protocol === 'vxhs')
      throw unsupported('VxHS protocol is not supported with this QEMU binary')
    if (device === 'floppy' && isPseries(def))
      throw unsupported('PowerPC pseries machines do not support floppy device')
    if (source.type === 'nvme' && !qemu.has('drive-nvme'))
      throw unsupported('NVMe disks are not supported with this QEMU binary')
  }
}
