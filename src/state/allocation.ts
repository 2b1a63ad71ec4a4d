// The host resources a guest holds, read off its definition: what must not be given to two guests.
import { readFileSync, readlinkSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { parseBitmap } from '../conf/bitmap.ts'
import type { ChardevSource } from '../conf/devices/chardev-source.ts'
import { pciAddressText } from '../conf/devices/device-address.ts'
import type { DiskDef } from '../conf/devices/disk.ts'
import { listensOnPort } from '../conf/devices/graphics-server.ts'
import type { HostdevDef } from '../conf/devices/hostdev.ts'
import type { DeviceKind, Devices } from '../conf/devices/index.ts'
import type { InterfaceDef } from '../conf/devices/interface.ts'
import { networkHostdev } from '../conf/devices/interface-hostdev.ts'
import type { MemoryDef } from '../conf/devices/memory.ts'
import { numaCells } from '../conf/domain/numa.ts'
import type { DomainDef } from '../conf/domain-def.ts'
import { storageChain } from '../conf/storage/chain.ts'
import { isLocalStorage, type StorageSource, storagePath, withDataStore } from '../conf/storage/source.ts'

/** One resource: identified by a key, or counted by an amount. */
export interface Allocation {
  kind: string
  /** the one resource that is held; of an amount, the store it comes from */
  key?: string
  /** KiB of memory, else a number */
  amount?: number
  mode: 'exclusive' | 'shared'
  /** its path in the definition, where the key is made from the file or device behind it */
  path?: string
}

export interface RunFacts {
  active: boolean
  id: number
  cgroups: readonly string[]
  /** TCP ports QEMU listens on for no device */
  ports?: readonly number[]
  /** QEMU's user, where each guest has one of its own */
  user?: { uid: number; alone: boolean } | undefined
}

/** Everything the guest holds; a guest that is shut off holds its name and uuid. */
export function allocations(def: DomainDef, { active, id, cgroups, ports = [], user }: RunFacts): Allocation[] {
  const own = [held('name', def.name), held('uuid', def.uuid)]
  if (!active) return own
  return [
    ...own,
    held('domain-id', String(id)),
    ...usedBy(def),
    ...(user ? [uidAllocation(user)] : []),
    ...ports.map(port => held('tcp-port', String(port))),
    ...cgroups.map(path => held('cgroup', path))
  ]
}

/** A user that QEMU runs as; alone: no other guest's does. */
export const uidAllocation = ({ uid, alone }: { uid: number; alone: boolean }): Allocation => ({
  kind: 'uid',
  key: String(uid),
  mode: alone ? 'exclusive' : 'shared'
})

/**
 * Resources of the host that a running guest uses, without its names. Ports and ids that are still to be chosen are
 * left out, as are network devices that get their name from a template.
 */
export function usedBy(def: DomainDef): Allocation[] {
  return [...unique(def), ...amounts(def)]
}

const held = (kind: string, key: string): Allocation => ({ kind, key, mode: 'exclusive' })

type Found<K extends DeviceKind> = (dev: Devices[K][number], def: DomainDef) => Allocation[]

/** Resources that devices use, by their list in the definition; families that are not here use none. */
const DEVICES: { [K in DeviceKind]?: Found<K> } = {
  disks: diskAllocations,
  interfaces: interfaceAllocations,
  hostdevs: hostdevAllocations,
  graphics: graphicsAllocations,
  serials: chardevAllocations,
  parallels: chardevAllocations,
  consoles: chardevAllocations,
  channels: chardevAllocations,
  redirdevs: chardevAllocations,
  vsocks: ({ cid }) => (cid?.address ? [held('vsock-cid', String(cid.address))] : []),
  tpms: ({ backend }) => (backend.type === 'passthrough' ? [file('tpm', backend.path)] : []),
  leases: ({ lockspace = '', key = '', target }) => [{ ...held('lease', `${lockspace}/${key}`), path: target.path }],
  memories: (dev, def) => memoryAmounts(addHugepages(new Map(), def, dev), dev.target.sizeKiB)
}

/** Resources of the host that one device uses, be it part of the definition or about to be plugged in. */
export function deviceAllocations<K extends DeviceKind>(
  kind: K,
  dev: Devices[K][number],
  def: DomainDef
): Allocation[] {
  return (DEVICES[kind] as Found<K> | undefined)?.(dev, def) ?? []
}

function unique(def: DomainDef): Allocation[] {
  const kinds = Object.keys(DEVICES).filter(kind => kind !== 'memories') as DeviceKind[]
  const ofDevices = kinds.flatMap(kind => def.devices[kind].flatMap(dev => deviceAllocations(kind, dev as never, def)))
  return [...ofDevices, ...nvram(def), ...cpusets(def)]
}

/**
 * The images of a disk, with those their data is in: the top is written by this guest alone, unless told otherwise; those
 * below are only read. The one it is copied to is written.
 */
function diskAllocations({ source: top, readonly, shareable, transient, mirror }: DiskDef): Allocation[] {
  const copies = mirror ? storageChain(mirror.source) : []
  const mirrored = copies.flatMap((image, depth) => imageAllocation(image, depth > 0 ? 'shared' : 'exclusive'))
  const own = storageChain(top).flatMap(image => {
    // a transient disk's image gets another on top, which is then the first
    const isOverlaid = transient !== undefined && !storagePath(top)?.includes('.TRANSIENT-')
    const isShared = image !== top || readonly || shareable || isOverlaid
    return withDataStore(image).flatMap(one => imageAllocation(one, isShared ? 'shared' : 'exclusive'))
  })
  return [...own, ...mirrored]
}

const known = new WeakMap<StorageSource, Allocation>()

/** An image's key is found once: the guest goes on with the file it opened, whatever becomes of its name. */
function imageAllocation(image: StorageSource, mode: Allocation['mode']): Allocation[] {
  if (image.type === 'vhostvdpa') return [file('path', image.path)]
  if (image.type === 'nvme') return [held('pci', pciAddressText({ type: 'pci', ...image.address }))]
  if (image.type === 'network' && image.name !== undefined) {
    const servers = image.hosts?.map(({ name, port, socket }) => socket ?? `${name}:${port ?? ''}`).join(',')
    return [{ kind: 'disk', key: `${image.protocol}://${servers ?? ''}/${image.name}`, mode }]
  }
  if (!isLocalStorage(image) || image.type === 'dir' || image.path === undefined) return []
  let found = known.get(image)
  if (found?.path !== image.path) {
    found = file('disk', image.path)
    known.set(image, found)
  }
  return [{ ...found!, mode }]
}

function interfaceAllocations(dev: InterfaceDef): Allocation[] {
  const { mac, target, source } = dev
  const device = networkHostdev(dev)
  return [
    held('mac', mac),
    ...(target?.dev !== undefined && !target.dev.includes('%d') ? [held('tap', target.dev)] : []),
    ...(source.type === 'vhostuser' && source.mode === 'server' && source.path !== undefined
      ? [place(source.path)]
      : []),
    ...(device ? hostdevAllocations(device) : [])
  ]
}

/** Variables are written, so they are never shared. The file may be about to be made: it is known by its directory. */
function nvram({ os }: DomainDef): Allocation[] {
  const source = os.loader?.nvram?.source
  return source && isLocalStorage(source) && source.path ? [{ ...place(source.path), kind: 'nvram' }] : []
}

function hostdevAllocations({ source, shareable }: HostdevDef): Allocation[] {
  switch (source.type) {
    case 'pci': {
      const address = pciAddressText(source.place)
      const group = iommuGroup(address)
      return [held('pci', address), ...(group === undefined ? [] : [held('iommu-group', group)])]
    }
    case 'usb': {
      const { bus, device } = source.place ?? {}
      const number = (value: number) => String(value).padStart(3, '0')
      return bus && device && !source.missing ? [held('usb', `${number(bus)}:${number(device)}`)] : []
    }
    case 'mdev':
      return [held('mdev', source.uuid)]
    case 'scsi': {
      const { from } = source
      if (from.protocol === 'iscsi') return []
      const { adapter, bus, target, unit } = from
      return [{ ...held('scsi', `${adapter}:${bus}:${target}:${unit}`), mode: shareable ? 'shared' : 'exclusive' }]
    }
    case 'scsi_host':
      return [held('scsi', source.from.wwpn)]
    default:
      return []
  }
}

/** Devices of one group are isolated together: VFIO gives the whole group to one process. */
function iommuGroup(address: string): string | undefined {
  try {
    return basename(readlinkSync(`/sys/bus/pci/devices/${address}/iommu_group`))
  } catch {
    return undefined
  }
}

function graphicsAllocations(dev: DomainDef['devices']['graphics'][number]): Allocation[] {
  if (dev.type !== 'vnc' && dev.type !== 'spice') return []
  if (listensOnPort(dev)) {
    const ports = [dev.port, dev.type === 'vnc' ? dev.websocket : dev.tlsPort]
    return ports.flatMap(port => (port && port > 0 ? [held('tcp-port', String(port))] : []))
  }
  return dev.listens.flatMap(({ socket }) => (socket ? [place(socket)] : []))
}

/** Sockets listened at, and devices of the host. */
function chardevAllocations({ source }: { source: ChardevSource }): Allocation[] {
  if (source.type === 'unix' && source.mode === 'bind' && source.path) return [place(source.path)]
  return source.type === 'dev' && source.path ? [file('path', source.path)] : []
}

/** CPUs that threads of the guest are pinned to; guests can share them. */
function cpusets({ vcpu, cputune }: DomainDef): Allocation[] {
  const pins = [...(cputune?.vcpupins ?? []), ...(cputune?.iothreadpins ?? [])].map(({ cpuset }) => cpuset)
  const all = new Set([vcpu.cpuset, cputune?.emulatorpin, ...pins])
  return [...all].flatMap(key => (key === undefined ? [] : [{ kind: 'cpuset', key, mode: 'shared' as const }]))
}

function amounts(def: DomainDef): Allocation[] {
  const { memories } = def.devices
  const huge: Hugepages = new Map()
  const cells = numaCells(def)
  for (const [node, { memoryKiB }] of cells.entries()) addHugepages(huge, def, { target: { sizeKiB: memoryKiB, node } })
  if (cells.length === 0) {
    const modulesKiB = memories.reduce((sum, { target }) => sum + target.sizeKiB, 0)
    addHugepages(huge, def, { target: { sizeKiB: def.memoryKiB - modulesKiB } })
  }
  for (const dev of memories) addHugepages(huge, def, dev)
  return [
    ...memoryAmounts(huge, def.memoryKiB),
    { kind: 'vcpu', amount: def.vcpu.current ?? def.vcpu.max, mode: 'shared' }
  ]
}

/** Memory in huge pages by their size; both in KiB. */
type Hugepages = Map<number, number>

/** Counts memory in, if it lies in huge pages: those it names, those of its node, or those of all other nodes. */
function addHugepages(
  huge: Hugepages,
  { memoryBacking }: DomainDef,
  { target, source }: Pick<MemoryDef, 'target'> & Partial<Pick<MemoryDef, 'source'>>
): Hugepages {
  if (source?.path !== undefined) return huge
  const pages = memoryBacking?.hugepages
  const node = target.node === undefined ? 0n : 1n << BigInt(target.node)
  const page =
    pages?.find(({ nodeset }) => nodeset !== undefined && (parseBitmap(nodeset) & node) !== 0n) ??
    pages?.findLast(({ nodeset }) => nodeset === undefined)
  const size = source?.pagesizeKiB ?? page?.sizeKiB ?? (pages?.length === 0 ? defaultHugepageKiB() : 0)
  if (size > ORDINARY_PAGE_KIB && target.sizeKiB > 0) huge.set(size, (huge.get(size) ?? 0) + target.sizeKiB)
  return huge
}

/** Memory as amounts: ordinary pages in KiB, huge ones by their number. */
function memoryAmounts(huge: Hugepages, totalKiB: number): Allocation[] {
  const hugeKiB = [...huge.values()].reduce((sum, kib) => sum + kib, 0)
  const ofPages = ([pageKiB, kib]: [number, number]): Allocation => ({
    kind: 'hugepages',
    key: String(pageKiB),
    amount: Math.ceil(kib / pageKiB),
    mode: 'exclusive'
  })
  return [{ kind: 'memory', amount: Math.max(0, totalKiB - hugeKiB), mode: 'exclusive' }, ...[...huge].map(ofPages)]
}

/** The largest page any architecture we run on has as an ordinary one. */
const ORDINARY_PAGE_KIB = 64

function defaultHugepageKiB(): number {
  return Number(/^Hugepagesize:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0)
}

/** A file by its device and inode, as it can have several names; a device by its number. */
/** What a file or disk of the host is held as while it is written whole, be it there yet or not; nothing of other kinds. */
export function targetAllocations(path: string): Allocation[] {
  const found = statSync(path, { throwIfNoEntry: false })
  return !found || found.isFile() || found.isBlockDevice() ? [file('disk', path)] : []
}

function file(kind: string, path: string): Allocation {
  try {
    const { dev, ino, rdev } = statSync(path, { bigint: true })
    return { kind, key: rdev > 0n ? `rdev:${rdev}` : `${dev}:${ino}`, mode: 'exclusive', path }
  } catch {
    return { ...place(path), kind }
  }
}

/** A file that may not be there yet, by its directory and its name in it. */
function place(path: string): Allocation {
  try {
    const { dev, ino } = statSync(dirname(path), { bigint: true })
    return { kind: 'path', key: `${dev}:${ino}/${basename(path)}`, mode: 'exclusive', path }
  } catch {
    return { kind: 'path', key: path, mode: 'exclusive', path }
  }
}
