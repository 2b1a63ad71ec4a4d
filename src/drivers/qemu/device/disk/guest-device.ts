// -device of a disk: what the guest sees (qemuBuildDiskDeviceProps).
import type { DiskDef } from '../../../../conf/devices/disk.ts'
import type { ThrottleFilter } from '../../../../conf/devices/disk-throttle.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { isStorageEmpty } from '../../../../conf/storage/source.ts'
import { CACHE_MODES, effectiveNode } from '../../block/nodes.ts'
import type { Qemu } from '../../capabilities/qemu.ts'
import { addressProps, virtioProps } from '../../parts/address.ts'
import { bootIndex } from '../../parts/boot-index.ts'
import type { Builder, DeviceProps } from '../../parts/builder.ts'
import { driveProps } from '../../parts/drive-address.ts'
import { iothreadId, iothreadMappingProps } from '../../parts/iothread-mapping.ts'
import type { Props } from '../../parts/props.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** The node that fills an image with what is read from those below. */
export const copyOnReadNode = ({ target }: DiskDef): string => `libvirt-CoR-${target?.dev}`

/** The character device to the process that serves a disk. */
export const vhostUserChardev = ({ alias }: DiskDef): string => `chr-vu-${alias}`

/** The node that keeps a disk within the limits of a group. */
export const filterNode = ({ index }: ThrottleFilter): string => `libvirt-${index}-filter`

/** The node of a disk's content, if it has a medium. */
export function contentNode(disk: DiskDef, qemu: Qemu): string | undefined {
  if (isStorageEmpty(disk.source) || disk.source.type === 'vhostuser') return undefined
  return disk.driver.copyOnRead ? copyOnReadNode(disk) : effectiveNode(disk.source, qemu)
}

/** The top node of a disk, if it has a medium (qemuDomainDiskGetTopNodename). */
export function diskNode(disk: DiskDef, qemu: Qemu): string | undefined {
  const content = contentNode(disk, qemu)
  const filter = disk.throttlefilters?.at(-1)
  return content !== undefined && filter ? filterNode(filter) : content
}

/** libvirt's old name of a drive, which the guest may know a SCSI disk by. */
const driveName = ({ alias }: DiskDef): string => `drive-${alias}`

function virtioBlkProps(disk: DiskDef): DeviceProps {
  const { driver, device, model, address, source } = disk
  const isVhostUser = source.type === 'vhostuser'
  return {
    ...virtioProps(isVhostUser ? 'vhost-user-blk' : 'virtio-blk', model, address, driver),
    iothread: driver.iothread && iothreadId(driver.iothread),
    ioeventfd: driver.ioeventfd,
    event_idx: driver.eventIdx,
    scsi: !isVhostUser && device === 'lun' ? true : undefined,
    'num-queues': driver.queues,
    'queue-size': driver.queueSize,
    'iothread-vq-mapping': iothreadMappingProps(driver.iothreads)
  }
}

/** Driver and options by bus. */
function busProps(disk: DiskDef): DeviceProps {
  const { device, target } = disk
  switch (target?.bus) {
    case 'ide':
    case 'sata':
      return { driver: device === 'cdrom' ? 'ide-cd' : 'ide-hd', model: disk.product }
    case 'scsi':
      if (device === 'lun') return { driver: 'scsi-block' }
      return {
        driver: device === 'cdrom' ? 'scsi-cd' : 'scsi-hd',
        device_id: disk.serial ?? driveName(disk),
        product: disk.product,
        removable: device === 'cdrom' ? undefined : target.removable
      }
    case 'virtio':
      return virtioBlkProps(disk)
    case 'usb':
      if (disk.model === 'usb-bot') {
        return device === 'cdrom' ? { driver: 'scsi-cd' } : { driver: 'scsi-hd', removable: target.removable }
      }
      return { driver: 'usb-storage', removable: target.removable ?? false }
    case 'fdc':
      return { driver: 'floppy' }
    default:
      throw fail('VIR_ERR_INTERNAL_ERROR', `unsupported disk bus '${target?.bus}' with device setup`)
  }
}

/** QEMU's reaction to failed writes and reads (qemuBuildDiskGetErrorPolicy). */
function errorPolicy({ driver: { errorPolicy, rerrorPolicy } }: DiskDef): Props {
  if (errorPolicy === 'enospace') return { werror: 'enospc', rerror: rerrorPolicy }
  return { werror: errorPolicy, rerror: rerrorPolicy ?? errorPolicy }
}

/** World wide name as the number QEMU wants. */
function wwnProps({ wwn }: DiskDef): Props {
  return wwn === undefined ? {} : { wwn: BigInt(`0x${wwn.replace(/^0x/i, '')}`) }
}

function geometryProps({ geometry = {} }: DiskDef): Props {
  const { cylinders, heads, sectors, translation } = geometry
  return { cyls: cylinders, heads, secs: sectors, 'bios-chs-trans': translation }
}

/** The USB end of a disk that is a SCSI one behind it (usb-bot), at the disk's address and with its name. */
export function usbBridgeProps(to: Builder, disk: DiskDef): DeviceProps | undefined {
  if (disk.target?.bus !== 'usb' || disk.model !== 'usb-bot') return undefined
  return { driver: 'usb-bot', id: disk.alias, ...addressProps(to, disk) }
}

/** Properties of the device of a disk other than an SD card; the backend is named by its block node or chardev. */
export function diskDeviceProps(to: Builder, disk: DiskDef): DeviceProps {
  const { address, target, device, blockio, serial, source, driver } = disk
  const { cache } = driver
  const writeback = cache === undefined || device === 'lun' ? undefined : CACHE_MODES[cache].writeback
  const bus = busProps(disk)
  const isBridged = usbBridgeProps(to, disk) !== undefined
  const bridge = { bus: `${disk.alias}.0`, 'scsi-id': 0, lun: 0 }
  const place = isBridged
    ? bridge
    : address?.type === 'drive' && target?.bus
      ? driveProps(to, target.bus, address)
      : addressProps(to, disk)
  return {
    ...bus,
    ...place,
    'share-rw': disk.shareable,
    drive: diskNode(disk, to.qemu),
    chardev: source.type === 'vhostuser' ? vhostUserChardev(disk) : undefined,
    id: isBridged ? `${disk.alias}-device` : disk.alias,
    bootindex: device === 'floppy' ? undefined : bootIndex(to, disk),
    logical_block_size: blockio?.logical,
    physical_block_size: blockio?.physical,
    discard_granularity: blockio?.discardGranularity,
    ...wwnProps(disk),
    rotation_rate: target?.rotationRate,
    vendor: disk.vendor,
    'write-cache': writeback === undefined ? undefined : writeback ? 'on' : 'off',
    ...geometryProps(disk),
    serial: serial?.replace(/[\\ ]/g, char => `\\${char}`),
    ...errorPolicy(disk),
    'stats-intervals': nonEmpty(driver.statistics?.intervals)
  }
}

const nonEmpty = (list: number[] | undefined) => (list && list.length > 0 ? list : undefined)
