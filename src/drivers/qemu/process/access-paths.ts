// Files of the host that QEMU opens by itself, read off the definition: what a user of its own must be given
// (virSecurityDACSetAllLabel). What we open for QEMU is not among them.
import { readlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { ChardevSource } from '../../../conf/devices/chardev-source.ts'
import { pciAddressText } from '../../../conf/devices/device-address.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { GraphicsDef } from '../../../conf/devices/graphics.ts'
import type { HostdevDef } from '../../../conf/devices/hostdev.ts'
import type { ScsiUnit } from '../../../conf/devices/hostdev-source.ts'
import { type AnyDevice, type DeviceKind, type Devices, eachDevice } from '../../../conf/devices/index.ts'
import type { SeclabelOverride } from '../../../conf/devices/seclabel-override.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { isLocalStorage, type StorageSource, withDataStore } from '../../../conf/storage/source.ts'
import { scsiGenericPath } from '../../../host/devices.ts'
import { hostFile } from '../../../host/root.ts'

/** A file of the host that QEMU opens. */
export interface PathAccess {
  path: string
  /** this guest alone has it; else others may too, and it goes on belonging to whom it belongs */
  own: boolean
  /** QEMU writes to it */
  write: boolean
  /** labels of its own */
  seclabels?: SeclabelOverride[] | undefined
  /** made: it is to be there before QEMU opens it; optional: it need not be */
  absent?: 'made' | 'optional'
}

const owned = (path: string, more: Partial<PathAccess> = {}): PathAccess => ({ path, own: true, write: true, ...more })
const shared = (path: string, write = false): PathAccess => ({ path, own: false, write })

type Paths<K extends DeviceKind> = (dev: Devices[K][number]) => PathAccess[]

const ofChardev = ({ source }: { source: ChardevSource }): PathAccess[] => chardevPaths(source)

/** By list of devices; those that are not here open nothing. */
const DEVICES: { [K in DeviceKind]?: Paths<K> } = {
  disks: diskPaths,
  serials: ofChardev,
  parallels: ofChardev,
  consoles: ofChardev,
  channels: ofChardev,
  redirdevs: ofChardev,
  smartcards: ({ card }) => (card.mode === 'passthrough' ? ofChardev(card) : []),
  rngs: ({ backend }) => (backend.model === 'egd' ? ofChardev(backend) : []),
  inputs: ({ source }) => (source?.path === undefined ? [] : [owned(source.path)]),
  memories: ({ source }) => (source.path === undefined ? [] : [owned(source.path)]),
  pstores: ({ path }) => (path === undefined ? [] : [owned(path, { absent: 'made' })]),
  hostdevs: hostdevPaths,
  graphics: dev => renderNode(dev).map(path => ({ ...shared(path, true), absent: 'optional' as const }))
}

/** What QEMU opens for a device that is there or about to be plugged in. */
export function pathsOfDevice<K extends DeviceKind>(kind: K, dev: Devices[K][number]): PathAccess[] {
  return (DEVICES[kind] as Paths<K> | undefined)?.(dev) ?? []
}

/** What QEMU opens for a guest, of each file once. */
export function pathsOfDefinition(def: DomainDef): PathAccess[] {
  const { os, sysinfo = [] } = def
  const { loader } = os
  const read = [os.kernel, os.initrd, os.shim, os.dtb, ...(os.acpiTables ?? []).map(({ path }) => path)]
  const files = sysinfo.flatMap(info => (info.type === 'fwcfg' ? info.entries.map(({ file }) => file) : []))
  const all = [
    ...[...eachDevice(def.devices)].flatMap(([kind, dev]) => pathsOfDevice(kind, dev as AnyDevice as never)),
    ...(loader?.nvram ? imagePaths(loader.nvram.source, true) : []),
    ...(loader?.path === undefined ? [] : [shared(loader.path, loader.readonly === false)]),
    ...[...read, ...files].flatMap(path => (path === undefined ? [] : [shared(path)]))
  ]
  return [...new Map(all.toReversed().map(one => [`${one.path}\0${one.own}`, one])).values()].reverse()
}

/** The images of a disk: the uppermost is this guest's alone unless told otherwise, as is one it is copied to. */
function diskPaths({ source, readonly, shareable, mirror, transient }: DiskDef): PathAccess[] {
  const isOwn = !readonly && !shareable
  const top = imagePaths(source, isOwn, !readonly)
  // its overlay is made, and given, when the disk is
  const [overlay] = transient ? top : []
  if (overlay) overlay.absent = 'optional'
  const below = (mirror ? storageChain(mirror.source).slice(1) : []).flatMap(image => imagePaths(image, false))
  return [
    ...top,
    ...storageChain(source)
      .slice(1)
      .flatMap(image => imagePaths(image, false)),
    ...(mirror ? imagePaths(mirror.source, true) : []),
    ...below
  ]
}

/** One image with the one its data is in, without those below. */
export function imagePaths(image: StorageSource, own: boolean, write = own): PathAccess[] {
  return withDataStore(image).flatMap((one): PathAccess[] => {
    if (one.type === 'nvme') return vfioGroup(pciAddressText({ type: 'pci', ...one.address }))
    if (!isLocalStorage(one) || one.type === 'dir' || one.path === undefined || one.handed) return []
    return [{ path: one.path, own, write, seclabels: one.seclabels ?? image.seclabels }]
  })
}

/** virSecurityDACSetChardevLabelHelper; QEMU makes sockets that it listens at. */
function chardevPaths(source: ChardevSource): PathAccess[] {
  const { seclabels } = source
  const log = source.log?.file === undefined ? [] : [owned(source.log.file, { absent: 'made' })]
  switch (source.type) {
    case 'dev':
      return source.path === undefined ? log : [owned(source.path, { seclabels }), ...log]
    case 'file':
      return source.path === undefined ? log : [owned(source.path, { seclabels, absent: 'made' }), ...log]
    case 'pipe': {
      const { path } = source
      if (path === undefined) return log
      const both = ['', '.in', '.out'].map(end => owned(`${path}${end}`, { seclabels, absent: 'optional' }))
      return [...both, ...log]
    }
    case 'unix':
      if (source.mode === 'bind' || source.path === undefined) return log
      return [{ ...shared(source.path, true), seclabels, absent: 'optional' }, ...log]
    default:
      return log
  }
}

/** virSecurityDACSetHostdevLabel */
function hostdevPaths({ source, shareable, readonly }: HostdevDef): PathAccess[] {
  switch (source.type) {
    case 'usb': {
      const { bus, device } = source.place ?? {}
      const number = (value: number) => String(value).padStart(3, '0')
      return bus && device && !source.missing ? [owned(`/dev/bus/usb/${number(bus)}/${number(device)}`)] : []
    }
    case 'pci':
      return vfioGroup(pciAddressText(source.place))
    case 'mdev':
      return vfioGroup(source.uuid)
    case 'scsi': {
      if (source.from.protocol === 'iscsi') return []
      const path = genericPath(source.from)
      if (path === undefined) return []
      return [shareable ? shared(path, !readonly) : owned(path)]
    }
    default:
      return []
  }
}

/** Undefined for a unit that is gone. */
function genericPath(unit: ScsiUnit): string | undefined {
  try {
    return scsiGenericPath(unit)
  } catch {
    return undefined
  }
}

/** The group of a device that VFIO hands over (virPCIDeviceAddressGetIOMMUGroupDev). */
function vfioGroup(device: string): PathAccess[] {
  for (const bus of ['pci', 'mdev']) {
    try {
      const group = basename(readlinkSync(hostFile(`/sys/bus/${bus}/devices/${device}/iommu_group`)))
      return [owned(join('/dev/vfio', group), { absent: 'optional' })]
    } catch {
      // it is no device of that kind
    }
  }
  return []
}

function renderNode(dev: GraphicsDef): string[] {
  const { gl } = dev as { gl?: { rendernode?: string } }
  return gl?.rendernode === undefined ? [] : [gl.rendernode]
}
