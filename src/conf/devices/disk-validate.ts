// Checks of a disk that need only the definition, in libvirt's order (virDomainDiskDefValidate).
import type { DomainDef } from '../domain-def.ts'
import { errorsFrom } from '../error.ts'
import { storageChain } from '../storage/chain.ts'
import { isLocalStorage, isStorageEmpty, type StorageSource, storagePath } from '../storage/source.ts'
import type { AddressType } from './device-info.ts'
import type { DiskBus, DiskDef } from './disk.ts'
import { checkIoTuneSums } from './disk-iotune.ts'
import { validateVhostUserDisk } from './disk-vhostuser.ts'
import { validateSeclabelOverrides } from './seclabel-override.ts'
import { checkNoVirtioOptions } from './virtio-options.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** Protocols with authentication, and the usage each insists on for the secret. */
const AUTH_USAGE: Record<string, string | null> = {
  iscsi: 'iscsi',
  rbd: 'ceph',
  http: null,
  https: null,
  ftp: null,
  ftps: null,
  ssh: null,
  none: null
}
/** virSecretUsageType */
const SECRET_USAGES = ['none', 'volume', 'ceph', 'iscsi', 'tls', 'vtpm']

/** virDomainDiskDefValidateSourceChainOne */
function validateSource(source: StorageSource): void {
  if (source.type === 'network' && source.protocol === 'sheepdog')
    throw unsupported("'sheepdog' protocol is no longer supported by any hypervisor driver")
  if (source.type === 'network' && source.auth) {
    if (!Object.hasOwn(AUTH_USAGE, source.protocol))
      throw unsupported(`authentication is not supported for protocol '${source.protocol}'`)
    const { type } = source.auth.secret
    if (type === undefined || !SECRET_USAGES.includes(type))
      throw unsupported(`unknown secret type '${type ?? '<null>'}'`)
    const usage = AUTH_USAGE[source.protocol]
    if (usage && usage !== type) throw unsupported(`invalid secret type '${type}'`)
  }
  if (source.encryption?.format === 'luks' && source.encryption.cipher)
    throw unsupported('supplying <cipher> for domain disk definition is unnecessary')
  if (source.dataStore) validateDataStore(source.dataStore, source)
}

/** @throws VIR_ERR_CONFIG_UNSUPPORTED for an image in a chain that nothing can use (virDomainDiskDefValidateSource) */
export function validateDiskSource(source: StorageSource): void {
  for (const image of storageChain(source)) validateSource(image)
}

function validateDataStore(store: StorageSource, { format }: StorageSource): void {
  if (format !== 'qcow2') throw unsupported('<dataStore> feature available only with qcow2 images')
  if (store.format !== 'raw') throw unsupported("only 'raw' images supported as <dataStore>")
  if (store.dataStore)
    throw wrong("The <source> of <dataStore> can't have another nested <dataStore> or <backingStore> element")
  if (store.slice) throw wrong('slices are not supported for <dataStore>')
}

/** virDomainDiskDefSourceLUNValidate */
export function validateLunSource(source: StorageSource): void {
  if (source.type === 'network') {
    if (source.protocol !== 'iscsi')
      throw unsupported(`disk device='lun' is not supported for protocol='${source.protocol}'`)
  } else if (source.type !== 'block' && source.type !== 'volume')
    throw unsupported("disk device='lun' is only valid for block type disk source")
  if (source.format && source.format !== 'raw') throw unsupported("disk device 'lun' must use 'raw' format")
  if (source.slice) throw unsupported("disk device 'lun' doesn't support storage slice")
  if (source.encryption && source.encryption.format !== 'default')
    throw unsupported("disk device 'lun' doesn't support encryption")
}

/** Checks the source of a LUN; refuses on other devices what only LUNs have. */
function validateLun(disk: DiskDef): void {
  if (disk.sgio === 'unfiltered') throw unsupported('unfiltered sgio is no longer supported')
  if (disk.device === 'lun') {
    validateLunSource(disk.source)
    return
  }
  if (disk.source.reservations) throw unsupported('<reservations/> allowed only for lun devices')
  if (disk.rawio !== undefined) throw unsupported("rawio can be used only with device='lun'")
  if (disk.sgio !== undefined) throw unsupported("sgio can be used only with device='lun'")
}

/** Buses whose disks sit on a controller at a drive address. */
const ON_CONTROLLER: (DiskBus | undefined)[] = ['ide', 'fdc', 'scsi', 'sata']

function validateBus({ target, address, model, driver }: DiskDef, dev: string): void {
  const bus = target?.bus
  if (address && ON_CONTROLLER.includes(bus) && address.type !== 'drive') {
    const type: AddressType = address.type
    throw unsupported(`Invalid address type '${type}' for the disk '${dev}' with the bus type '${bus}'`)
  }
  if (bus === 'virtio') {
    if (model?.startsWith('usb')) throw unsupported(`disk model '${model}' not supported for bus '${bus}'`)
    return
  }
  if (model?.startsWith('virtio')) throw unsupported(`disk model '${model}' not supported for bus '${bus}'`)
  if (driver.queues) throw unsupported('queues attribute in disk driver element is only supported for virtio bus')
  if (driver.queueSize) throw unsupported('queue_size attribute in disk driver is only supported for virtio bus')
  if (driver.eventIdx !== undefined) throw unsupported('disk event_idx mode supported only for virtio bus')
  if (driver.ioeventfd !== undefined) throw unsupported('disk ioeventfd mode supported only for virtio bus')
  checkNoVirtioOptions(driver)
}

/** Lengths of SCSI's INQUIRY fields, in bytes. */
const VENDOR_LEN = 8
const PRODUCT_LEN = 16
/** That of ATA's IDENTIFY DEVICE. */
const ATA_MODEL_LEN = 40

function validateInquiry(what: string, text: string | undefined, limit: number): void {
  if (text === undefined) return
  if (!/^[\x20-\x7e]*$/.test(text)) throw wrong(`disk ${what} is not printable string`)
  if (text.length > limit) throw unsupported(`disk ${what} is more than ${limit} characters`)
}

function validateDevice({ device, target }: DiskDef): void {
  const bus = target?.bus
  const internal = (message: string) => fail('VIR_ERR_INTERNAL_ERROR', message)
  if (device === 'floppy' && bus !== 'fdc') throw internal(`Invalid bus type '${bus}' for floppy disk`)
  if (device !== 'floppy' && bus === 'fdc') throw internal(`Invalid bus type '${bus}' for disk`)
  if (target?.removable !== undefined && bus !== 'usb' && !(bus === 'scsi' && device === 'disk'))
    throw wrong('removable is only valid for usb or scsi disks')
}

/** virDomainDiskDefValidateStartupPolicy */
export function validateStartupPolicy({ startupPolicy, source, device }: DiskDef): void {
  if (startupPolicy === undefined) return
  if (source.type !== 'volume' && !isLocalStorage(source))
    throw wrong(`disk startupPolicy '${startupPolicy}' is not allowed for disk of '${source.type}' type`)
  if (startupPolicy === 'requisite' && device !== 'cdrom' && device !== 'floppy')
    throw wrong("disk startupPolicy 'requisite' is allowed only for cdrom or floppy")
}

/** Names disks and floppies can have. */
const HARD_DISK = /^(hd|sd|vd|xvd|ubd)/
const FLOPPY = /^fd/

function validateName({ device }: DiskDef, dev: string): void {
  if ((device === 'disk' || device === 'lun') && !HARD_DISK.test(dev))
    throw fail('VIR_ERR_INTERNAL_ERROR', `Invalid harddisk device name: ${dev}`)
  if (device === 'floppy' && !FLOPPY.test(dev))
    throw fail('VIR_ERR_INTERNAL_ERROR', `Invalid floppy device name: ${dev}`)
}

const WWN = /^(0x)?[0-9a-fA-F]{16}$/

/**
 * Checks one disk (virDomainDiskDefValidate).
 * @throws VIR_ERR_NO_TARGET, VIR_ERR_NO_SOURCE, VIR_ERR_XML_ERROR, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_INTERNAL_ERROR
 */
export function validateDisk(disk: DiskDef, def: DomainDef): void {
  const { source, target } = disk
  const dev = target?.dev
  if (dev === undefined) {
    const named = source.type === 'volume'
    throw fail(
      'VIR_ERR_NO_TARGET',
      named ? `pool = '${source.pool}', volume = '${source.volume}'` : storagePath(source)
    )
  }
  const chain = storageChain(source)
  for (const image of chain) validateSource(image)
  validateLun(disk)
  if (disk.iotune) checkIoTuneSums(disk.iotune)
  validateBus(disk, dev)
  if (source.type === 'nvme' && source.namespace === 0n) throw unsupported("NVMe namespace can't be zero")
  if (source.type === 'vhostuser') validateVhostUserDisk(disk)
  for (const image of chain) validateSeclabelOverrides(image.seclabels, def)
  if (target?.tray && disk.device !== 'floppy' && disk.device !== 'cdrom')
    throw unsupported('tray is only valid for cdrom and floppy')
  validateInquiry('vendor', disk.vendor, VENDOR_LEN)
  validateInquiry('product', disk.product, target?.bus === 'scsi' ? PRODUCT_LEN : ATA_MODEL_LEN)
  validateDevice(disk)
  validateStartupPolicy(disk)
  if (disk.wwn && !WWN.test(disk.wwn)) throw fail('VIR_ERR_INTERNAL_ERROR', `Malformed wwn: ${disk.wwn}`)
  validateName(disk, dev)
  if (disk.device === 'disk' && isStorageEmpty(source)) throw fail('VIR_ERR_NO_SOURCE', dev)
  validateDiscard(disk)
  if (disk.driver.iothread && disk.driver.iothreads)
    throw wrong("disk driver 'iothread' attribute can't be used together with 'iothreads' subelement")
  validateThrottleFilters(disk, def)
}

function validateDiscard({ driver, source, readonly }: DiskDef): void {
  if (!driver.discardNoUnref) return
  if (source.format !== 'qcow2') throw unsupported("'discard_no_unref' only works with qcow2 disk format")
  if (readonly) throw unsupported("'discard_no_unref' is not compatible with read-only disk")
}

function validateThrottleFilters({ throttlefilters, iotune, target, device }: DiskDef, def: DomainDef): void {
  if (!throttlefilters) return
  const refused = (message: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', message)
  if (iotune) throw refused(`block 'throttlefilters' can't be used together with 'iotune' for disk '${target?.dev}'`)
  if (device === 'cdrom') throw refused("cdrom device with throttle filters isn't supported")
  for (const { group } of throttlefilters) {
    if (!def.throttlegroups?.some(({ group_name }) => group_name === group))
      throw wrong(`throttle group '${group}' not found`)
  }
}

/** A target is one disk's alone (virDomainDefDuplicateDiskInfoValidate). */
export function validateDiskTargets({ devices: { disks } }: DomainDef): void {
  const seen = new Map<string | undefined, number>()
  let twins: [first: number, second: number] | undefined
  for (const [at, { target }] of disks.entries()) {
    const first = seen.get(target?.dev)
    if (first === undefined) seen.set(target?.dev, at)
    else if (!twins || first < twins[0]) twins = [first, at]
  }
  if (!twins) return
  const [a, b] = twins.map(at => disks[at]!)
  const path = (disk = a) => (disk && storagePath(disk.source)) ?? '<null>'
  throw wrong(`target '${a?.target?.dev}' duplicated for disk sources '${path(a)}' and '${path(b)}'`)
}
