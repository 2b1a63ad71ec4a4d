// A snapshot before it is taken: which disks take part and how, and what is against it (qemuSnapshotCreateAlignDisks,
// qemuSnapshotPrepare).
import { statSync } from 'node:fs'
import { checkAbiStability } from '../../../conf/abi-stability.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { formatDomain, parseDomain } from '../../../conf/domain-xml.ts'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import {
  alignSnapshotDisks,
  isExternalSnapshot,
  type SnapshotDef,
  type SnapshotDisk,
  type SnapshotState,
  snapshotState
} from '../../../conf/moment/snapshot.ts'
import { isLocalStorage, isStorageEmpty, type StorageSource } from '../../../conf/storage/source.ts'
import { formatMigratable } from '../definition/migratable.ts'
import { completeDomain } from '../definition/passes.ts'
import { checkNoBlockJob, checkTakesJobs } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { SnapshotTree } from './tree.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
const impossible = (message: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', message)
const internal = (message: string) => fail('VIR_ERR_INTERNAL_ERROR', message)

/** The state of the guest as snapshots call it; undefined of one that has none. */
export const snapshotStateOf = ({ state }: QemuDomain): SnapshotState | undefined => snapshotState.values[state - 1]

/** Ways of taking it that its flags ask for. */
export interface SnapshotWays {
  diskOnly: boolean
  reuse: boolean
  live: boolean
  metadata: boolean
}

/**
 * Refuses names no file can have, and states no snapshot can be of (qemuSnapshotCreateXMLValidateDef).
 * @param state of the guest, or of the snapshot that is made known again
 * @throws VIR_ERR_XML_DETAIL, VIR_ERR_OPERATION_UNSUPPORTED, VIR_ERR_INTERNAL_ERROR
 */
export function checkSnapshot(
  { name, memory }: SnapshotDef,
  { live, metadata }: Pick<SnapshotWays, 'live' | 'metadata'>,
  { isActive }: QemuDomain,
  state: SnapshotState | undefined,
  redefine: boolean
): void {
  const badName = (why: string) => fail('VIR_ERR_XML_DETAIL', `invalid snapshot name '${name}': name can't ${why}`)
  if (metadata && name.includes('/')) throw badName("contain '/'")
  if (metadata && name.startsWith('.')) throw badName("start with '.'")
  if (live && (!isActive || memory !== 'external')) {
    throw impossible('live snapshot creation is supported only during full system snapshots')
  }
  if (state === 'pmsuspended') throw impossible("qemu doesn't support taking snapshots of PMSUSPENDED guests")
  if (state === undefined || state === 'blocked' || (state === 'disk-snapshot' && !redefine)) {
    throw internal(`Invalid domain state ${state ?? 'no state'}`)
  }
}

/** The definition as it is now, of no running guest: what the snapshot keeps. */
function kept(domain: QemuDomain, def: DomainDef, originalCpu?: string): DomainDef {
  const copy = parseDomain(formatMigratable(def, domain.context, originalCpu), { abiUpdate: false })
  completeDomain(copy, domain.context, { isNew: false })
  return copy
}

/** A copy of a definition without what only a running guest has (virDomainDefCopy). */
export function copyOf(domain: QemuDomain, def: DomainDef): DomainDef {
  const copy = parseDomain(formatDomain(def, { inactive: true, secure: true, migratable: true }), { abiUpdate: false })
  completeDomain(copy, domain.context, { isNew: false })
  return copy
}

/** The definition as its file has it. */
export const persistentText = (def: DomainDef): string => formatDomain(def, { inactive: true, secure: true })

export const isRegularFile = (path: string) => statSync(path, { throwIfNoEntry: false })?.isFile() === true

/** External is what disks are that say nothing (qemuSnapshotCreateUseExternal). */
const usesExternal = ({ isActive }: QemuDomain, { memory, disks }: SnapshotDef, { diskOnly }: SnapshotWays) =>
  diskOnly || memory === 'external' || (!isActive && disks.some(({ snapshot }) => snapshot === 'external'))

/** Has the snapshot keep the guest, its state and all of its disks. @throws VIR_ERR_OPERATION_UNSUPPORTED and others */
export function alignSnapshot(domain: QemuDomain, def: SnapshotDef, ways: SnapshotWays): void {
  const { isActive, newDef, run } = domain
  // one that nobody keeps needs no definitions of its own
  if (ways.metadata) {
    def.dom = kept(domain, domain.def, run?.originalCpu)
    if (isActive && newDef) def.inactiveDom = structuredClone(newDef)
  }
  def.state = snapshotStateOf(domain)
  const external = usesExternal(domain, def, ways)
  if (external && ways.diskOnly) {
    def.state = isActive ? 'disk-snapshot' : 'shutoff'
    def.memory = 'no'
  } else if (!external) {
    if (isActive && def.memory === 'no') {
      throw impossible('internal snapshot of a running VM must include the memory state')
    }
    def.memory = def.state === 'shutoff' ? 'no' : 'internal'
  }
  const fallback = external ? 'external' : 'internal'
  alignSnapshotDisks(def, domain.def, { fallback, uniformInternal: true, isRegularFile })
}

/**
 * Checks that a snapshot that is made known again fits in, and completes its list of disks
 * (virDomainSnapshotRedefinePrep).
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_CONFIG_UNSUPPORTED, for a guest with another machine too
 */
export function prepareRedefined(
  tree: SnapshotTree,
  def: SnapshotDef,
  { uuid }: { uuid: string },
  { diskOnly }: Pick<SnapshotWays, 'diskOnly'>
): void {
  const wrong = (message: string) => failDomain('VIR_ERR_INVALID_ARG', message)
  tree.checkParent(def)
  const { name, state, dom } = def
  if (diskOnly && state !== 'disk-snapshot') {
    throw wrong(`disk-only flag for snapshot ${name} requires disk-snapshot state`)
  }
  if (dom && dom.uuid !== uuid) throw wrong(`definition for snapshot ${name} must use uuid ${uuid}`)
  const other = tree.get(name)
  if (other && isOnline(other) !== isOnline(def)) {
    throw wrong(`cannot change between online and offline snapshot state in snapshot ${name}`)
  }
  if (other && (other.state === 'disk-snapshot') !== (state === 'disk-snapshot')) {
    throw wrong(`cannot change between disk only and full system in snapshot ${name}`)
  }
  if (dom && other?.dom) checkAbiStability(other.dom, dom)
  const fallback = state === 'disk-snapshot' || isExternalSnapshot(def) ? 'external' : 'internal'
  alignSnapshotDisks(def, other?.dom, { fallback, uniformInternal: true, isRegularFile })
  if (!dom && other?.dom) def.dom = other.dom
}

/** The guest has its memory in the snapshot. */
export const isOnline = ({ state }: SnapshotDef): boolean => state === 'running' || state === 'paused'

/** What of a snapshot's disks its taking turns upon. */
export interface Prepared {
  external: boolean
  /** the user sees to some disks */
  manual: boolean
}

/**
 * Checks each disk and their combination (qemuSnapshotPrepare).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_OPERATION_UNSUPPORTED, VIR_ERR_BLOCK_COPY_ACTIVE, VIR_ERR_SYSTEM_ERROR
 */
export function prepareSnapshot(domain: QemuDomain, def: SnapshotDef, { reuse }: SnapshotWays): Prepared {
  const { isActive } = domain
  const { disks: domainDisks } = domain.def.devices
  let [internals, externals, manual, forbidden] = [0, 0, false, false]
  def.disks.forEach((one, i) => {
    const disk = domainDisks[i]!
    if (one.snapshot !== 'no') checkNoBlockJob(domain, disk)
    if (one.snapshot === 'internal') {
      internals++
      checkInternal(def, one, disk, isActive)
    } else if (one.snapshot === 'external') {
      externals++
      prepareExternal(one, disk, { isActive, reuse })
    } else if (one.snapshot === 'manual') {
      manual = true
      forbidden = true
    } else if (!isStorageEmpty(disk.source) && !disk.readonly) forbidden = true
  })
  const { memory, state } = def
  if (internals === 0 && externals === 0 && memory === 'no') throw unsupported('nothing selected for snapshot')
  if ((memory === 'internal' && internals === 0) || (internals > 0 && forbidden)) {
    throw unsupported('internal and full system snapshots require all disks to be selected for snapshot')
  }
  if (state === 'disk-snapshot' && externals === 0) {
    throw unsupported('disk-only snapshots require at least one disk to be selected for snapshot')
  }
  if (
    (internals > 0 && externals > 0) ||
    (memory === 'internal' && externals > 0) ||
    (memory === 'external' && internals > 0)
  ) {
    throw unsupported('mixing internal and external targets for a snapshot is not yet supported')
  }
  const nvram = domain.def.os.loader?.nvram?.source
  if (isActive && internals > 0 && nvram && nvram.format !== 'qcow2') {
    throw impossible('internal snapshots of a VM with pflash based firmware require QCOW2 nvram format')
  }
  if (!isActive && externals > 0 && domain.moments.checkpoints.count > 0) {
    throw impossible('support for offline external snapshots while checkpoint exists was not yet implemented')
  }
  return { external: externals > 0, manual }
}

function checkInternal(def: SnapshotDef, { name }: SnapshotDisk, { source }: DiskDef, isActive: boolean): void {
  if (def.state === 'disk-snapshot' && isActive) {
    throw unsupported(`active qemu domains require external disk snapshots; disk ${name} requested internal`)
  }
  if (!isActive && source.type === 'network') {
    throw internal(
      `internal inactive snapshots are not supported on 'network' disks using '${source.protocol}' protocol`
    )
  }
  if (!isActive && source.type !== 'file' && source.type !== 'block') {
    throw internal(`internal inactive snapshots are not supported on '${source.type}' disks`)
  }
  if (source.format !== undefined && source.format !== 'qcow2') {
    throw unsupported(`internal snapshot for disk ${name} unsupported for storage type ${source.format}`)
  }
}

interface ExternalWays {
  isActive: boolean
  reuse: boolean
}

/** The overlay of a disk: checked, and completed (qemuSnapshotPrepareDiskExternal). */
export function prepareExternal(one: SnapshotDisk, disk: DiskDef, { isActive, reuse }: ExternalWays): void {
  const { name, source } = one
  source.format ??= 'qcow2'
  if (source.format !== 'qcow2' && source.format !== 'qed') {
    throw unsupported(`external snapshot format for disk ${name} is unsupported: ${source.format}`)
  }
  if (source.metadataCacheMaxSize !== undefined && source.format !== 'qcow2') {
    throw unsupported('metadata cache max size control is supported only with qcow2 images')
  }
  if (isActive) checkActive(one, disk)
  else checkInactive(one, disk)
  if (disk.shareable && !disk.readonly) {
    throw unsupported(`shared access for disk '${disk.target?.dev}' requires use of supported storage format`)
  }
  if (isLocalStorage(source)) checkFile(name, source, reuse)
}

function checkActive({ source }: SnapshotDisk, disk: DiskDef): void {
  if (disk.device === 'lun') {
    throw unsupported('external active snapshots are not supported on scsi passthrough devices')
  }
  checkTakesJobs(disk)
  if (source.type === 'file' || source.type === 'block' || source.type === 'network') return
  throw internal(`external active snapshots are not supported on '${source.type}' disks`)
}

function checkInactive({ source }: SnapshotDisk, { source: own }: DiskDef): void {
  const isFile = ({ type }: StorageSource) => type === 'file' || type === 'block'
  if (own.type === 'network') {
    throw internal(`external inactive snapshots are not supported on 'network' disks using '${own.protocol}' protocol`)
  }
  for (const one of [own, source]) {
    if (!isFile(one)) throw internal(`external inactive snapshots are not supported on '${one.type}' disks`)
  }
}

/** An overlay that is to be made is not there yet, or empty; one that is reused is there. */
export function checkFile(name: string, { type, path = '' }: StorageSource & { path?: string }, reuse: boolean): void {
  let found: ReturnType<typeof statSync>
  try {
    found = statSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw systemError('VIR_FROM_QEMU', `unable to stat for disk ${name}: ${path}`, error)
    }
    if (reuse) throw systemError('VIR_FROM_QEMU', `missing existing file for disk ${name}: ${path}`, error)
    if (type === 'block') throw impossible(`block device snapshot target '${path}' doesn't exist`)
    return
  }
  const isKind = type === 'block' ? found.isBlockDevice() : found.isFile()
  if (!isKind) {
    throw unsupported(
      `mismatch between configured type for snapshot disk '${name}' and the type of existing file '${path}'`
    )
  }
  if (!reuse && type === 'file' && Number(found.size) > 0) {
    throw unsupported(`external snapshot file for disk ${name} already exists and is not a block device: ${path}`)
  }
}
