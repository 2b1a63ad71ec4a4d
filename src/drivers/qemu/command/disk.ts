// <disk>: QEMU's defaults, checks and arguments.
import type { DiskDef, DiskSource } from '../../../conf/devices/disk.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps, virtioProps } from './address.ts'
import { bootIndexes } from './boot.ts'
import type { Command, Props } from './command.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuDisk: QemuFamily<DiskDef> = {
  postParse(dev) {
    dev.driver.name ??= 'qemu'
    if (dev.source || dev.driver.type) dev.driver.type ??= 'raw'
    else dev.driver.type ??= 'raw'
  },
  validate(dev) {
    if (dev.driver.name !== undefined && dev.driver.name !== 'qemu') {
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        `unsupported driver name '${dev.driver.name}' for disk '${dev.target?.dev}'`
      )
    }
  }
}

/** -blockdev of where the image's bytes come from. */
export function storageProps(source: DiskSource): Props & { driver: string } {
  if (source.type === 'file') return { driver: 'file', filename: source.file }
  if (source.type === 'block') return { driver: 'host_device', filename: source.path }
  if (source.type === 'dir') return { driver: 'vvfat', dir: source.path, floppy: false, rw: false }
  if (source.protocol === 'nbd') {
    const [host] = source.hosts
    const server =
      host?.transport === 'unix'
        ? { type: 'unix', path: host.socket }
        : { type: 'inet', host: host?.name, port: host?.port ?? '10809' }
    return { driver: 'nbd', server, export: source.name }
  }
  throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `disk protocol '${source.protocol}' is not supported`)
}

/** QEMU's cache switches for libvirt's cache modes. */
const CACHE: Record<string, { direct: boolean; 'no-flush': boolean; writeback: boolean }> = {
  none: { direct: true, 'no-flush': false, writeback: true },
  writethrough: { direct: false, 'no-flush': false, writeback: false },
  writeback: { direct: false, 'no-flush': false, writeback: true },
  directsync: { direct: true, 'no-flush': false, writeback: false },
  unsafe: { direct: false, 'no-flush': true, writeback: true }
}

/** Node names count images over all disks, the last disk first. */
export function diskNode(command: Command, disk: DiskDef): string {
  const { disks } = command.def.devices
  return `libvirt-${disks.slice(disks.indexOf(disk)).filter(({ source }) => source).length}`
}

export function disksArgs(command: Command): void {
  const boot = bootIndexes(command)
  for (const disk of command.def.devices.disks) {
    const { source, driver } = disk
    if (source) {
      const node = diskNode(command, disk)
      const cache = driver.cache &&
        CACHE[driver.cache] && { direct: CACHE[driver.cache]!.direct, 'no-flush': CACHE[driver.cache]!['no-flush'] }
      command.blockdev({
        ...storageProps(source),
        aio: driver.io,
        'node-name': `${node}-storage`,
        cache,
        'auto-read-only': true,
        discard: driver.discard ?? 'unmap'
      })
      command.blockdev({
        'node-name': `${node}-format`,
        'read-only': disk.readonly ?? false,
        cache,
        discard: driver.discard,
        'detect-zeroes': driver.detectZeroes,
        driver: driver.type ?? 'raw',
        file: `${node}-storage`
      })
    }
    command.device(diskDeviceProps(command, disk, boot.get(disk)))
  }
}

/** -device of one disk. */
export function diskDeviceProps(command: Command, disk: DiskDef, bootindex?: number): Props & { driver: string } {
  const { alias, address, driver } = disk
  const drive = disk.source ? `${diskNode(command, disk)}-format` : undefined
  const writeback = driver.cache && CACHE[driver.cache]?.writeback
  const common = {
    share: undefined,
    drive,
    id: alias,
    bootindex,
    logical_block_size: disk.blockio?.logical,
    physical_block_size: disk.blockio?.physical
  }
  const tail = { 'write-cache': writeback, serial: disk.serial, werror: werror(disk), rerror: driver.rerrorPolicy }
  switch (disk.target?.bus) {
    case 'virtio':
      return {
        ...virtioProps('virtio-blk', disk.model, address, driver),
        iothread: driver.iothread === undefined ? undefined : `iothread${driver.iothread}`,
        ioeventfd: driver.ioeventfd,
        event_idx: driver.eventIdx,
        'num-queues': driver.queues,
        ...addressProps(command, disk),
        ...common,
        ...tail
      }
    case 'ide':
    case 'sata': {
      if (address?.type !== 'drive')
        throw fail('VIR_ERR_INTERNAL_ERROR', `disk '${disk.target.dev}' has no drive address`)
      const kind = disk.device === 'cdrom' ? 'ide-cd' : 'ide-hd'
      const controller = command.def.devices.controllers.find(
        one => one.type === disk.target?.bus && one.index === address.controller
      )
      const bus = `${controller?.alias ?? 'ide'}.${disk.target.bus === 'sata' ? address.unit : address.bus}`
      return { driver: kind, bus, unit: disk.target.bus === 'sata' ? undefined : address.unit, ...common, ...tail }
    }
    case 'scsi': {
      if (address?.type !== 'drive')
        throw fail('VIR_ERR_INTERNAL_ERROR', `disk '${disk.target.dev}' has no drive address`)
      const kind = disk.device === 'cdrom' ? 'scsi-cd' : disk.device === 'lun' ? 'scsi-block' : 'scsi-hd'
      const { controller, bus, target, unit } = address
      return {
        driver: kind,
        bus: `scsi${controller}.0`,
        channel: bus,
        'scsi-id': target,
        lun: unit,
        device_id: disk.serial ?? `drive-${alias}`,
        ...common,
        ...tail
      }
    }
    case 'usb':
      return {
        driver: 'usb-storage',
        ...addressProps(command, disk),
        ...common,
        removable: disk.target.removable ?? false,
        ...tail
      }
    default:
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `disk type '${disk.target?.bus}' is not supported`)
  }
}

function werror({ driver }: DiskDef): string | undefined {
  return driver.errorPolicy === 'enospace' ? 'enospc' : driver.errorPolicy
}
