// Deletion of snapshots (qemuSnapshotDelete). What went on upon one is kept: overlays are merged into what is below.
//
//   base ◄─ one's overlay ◄─ two's overlay ◄─ guest        deleting `two` writes its overlay into one's, and so on
//
// The guest stands on what the overlay stood on from then on, and so do the definitions that later snapshots keep.
import { existsSync } from 'node:fs'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { virDomainBlockCommitFlags, virDomainJobOperation, virDomainSnapshotDeleteFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { diskByName } from '../../../conf/moment/moment.ts'
import { isExternalSnapshot, type SnapshotDef, type SnapshotDisk } from '../../../conf/moment/snapshot.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import {
  isLocalStorage,
  type StorageFormat,
  type StorageSource,
  sameLocation,
  storagePath
} from '../../../conf/storage/source.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import type { MomentChange } from '../../../state/moments.ts'
import { determineDiskChain } from '../block/chain.ts'
import { backingOf, readHeader } from '../block/image-header.ts'
import { startCommit } from '../blockjob/commit.ts'
import { cancelBlockJob, finalizeBlockJob, pivotBlockJob } from '../blockjob/control.ts'
import { type BlockJobWatch, type JobEnd, watchOf } from '../blockjob/job.ts'
import { blockJobOf, hasBlockJob, isOver } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import {
  doImages,
  doSteps,
  endJournal,
  type ImageStep,
  type MergedImage,
  type Merging,
  readJournal,
  type Steps,
  writeJournal
} from '../process/journal.ts'
import { untilHeard } from '../process/monitor.ts'
import { externals } from './external.ts'
import { deleteLive, deleteOffline } from './internal.ts'
import { persistentText } from './prepare.ts'
import { settleLeft } from './recover.ts'
import { findSnapshot, isNeeded, type SnapshotTree, snapshotsOf } from './tree.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failed = (message: string) => fail('VIR_ERR_OPERATION_FAILED', message)
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

const FLAGS = virDomainSnapshotDeleteFlags

interface Deleting {
  domain: QemuDomain
  job: AsyncJob
  tree: SnapshotTree
  metadataOnly: boolean
}

/** Deletes a snapshot, those below it, or both. @param bits virDomainSnapshotDeleteFlags @throws see api/snapshot.ts */
export async function deleteSnapshot(domain: QemuDomain, job: AsyncJob, name: string, bits: number): Promise<void> {
  const has = (flag: keyof typeof FLAGS) => (bits & FLAGS[flag]) !== 0
  job.operation = virDomainJobOperation.VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_DELETE
  job.allow()
  await settleLeft(domain)
  const def = findSnapshot(domain, name)
  const tree = snapshotsOf(domain)
  const childrenOnly = has('VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY')
  const children = childrenOnly || has('VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN')
  const metadataOnly = has('VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY')
  if (!metadataOnly) checkDelete(domain, tree, def, { children, withItself: !childrenOnly })
  const deleting = { domain, job, tree, metadataOnly }
  const below = children ? tree.descendantsOf(def) : []
  const wanted = childrenOnly ? below : [...below, def]
  // each is looked up anew: one that goes may change those that stay
  for (const { name } of wanted) await deleteOne(deleting, tree.get(name)!)
  domain.settled()
}

/** What of a subtree is asked for. */
interface Extent {
  children: boolean
  withItself: boolean
}

/** @throws VIR_ERR_OPERATION_FAILED, VIR_ERR_OPERATION_UNSUPPORTED, VIR_ERR_CONFIG_UNSUPPORTED (qemuSnapshotDeleteValidate) */
function checkDelete(domain: QemuDomain, tree: SnapshotTree, def: SnapshotDef, { children, withItself }: Extent): void {
  const external = isExternalSnapshot(def)
  if (!external && domain.isActive) checkSameImages(domain.def, def)
  if (children) {
    const kinds = tree.descendantsOf(def).map(isExternalSnapshot)
    const [some, all] = [kinds.includes(true), !kinds.includes(false)]
    if (some && !all) throw unsupported('deletion of external and internal children disk snapshots not supported')
    if (some) throw unsupported('deletion of external children disk snapshots not supported')
  }
  if (!external) return
  if (hasBlockJob(domain)) {
    throw fail(
      'VIR_ERR_OPERATION_UNSUPPORTED',
      'cannot delete external snapshots when there is another active block job'
    )
  }
  if (children && withItself) throw unsupported('deletion of external disk snapshots with children not supported')
  const { length } = tree.childrenOf(def)
  const { current } = tree
  if (def === current && length > 0) {
    throw unsupported('deletion of active external snapshot that is not a leaf snapshot is not supported')
  }
  const isAbove = current !== undefined && tree.ancestorsOf(current).includes(def)
  if (def !== current && length > 0 && !isAbove) {
    throw unsupported('deletion of non-leaf external snapshot that is not in active chain is not supported')
  }
  if (length > 1) {
    throw unsupported('deletion of external disk snapshot with multiple children snapshots not supported')
  }
}

/** An internal snapshot can be deleted only from the images the running guest has. */
function checkSameImages(guest: DomainDef, { name, disks, dom }: SnapshotDef): void {
  for (const one of disks) {
    const now = diskByName(guest, one.name)
    if (!now) {
      throw failed(`disk '${one.name}' referenced by snapshot '${name}' not found in the current definition`)
    }
    const then = dom && diskByName(dom, one.name)
    if (!then) {
      throw failed(
        `disk '${one.name}' referenced by snapshot '${name}' not found in the VM definition of the deleted snapshot`
      )
    }
    if (!sameLocation(now.source, then.source)) {
      throw fail(
        'VIR_ERR_OPERATION_UNSUPPORTED',
        `disk image '${one.name}' for internal snapshot '${name}' is not the same as disk image currently used by VM`
      )
    }
  }
}

/** What is to be known once it is gone: its children stand where it did, its parent goes on in its images. */
function changeOf(
  { tree }: Pick<Deleting, 'tree'>,
  def: SnapshotDef,
  edit: (one: SnapshotDef) => SnapshotDef = one => one
): MomentChange<SnapshotDef> {
  const parent = tree.parentOf(def)
  const children = tree.childrenOf(def)
  const below = tree.descendantsOf(def).flatMap(one => {
    const edited = edit(one)
    if (children.includes(one)) return [{ ...edited, parentName: parent?.name }]
    return edited === one ? [] : [edited]
  })
  const { revertDisks, ...rest } = parent ?? def
  const newParent = parent && revertDisks ? { ...rest, disks: revertDisks } : parent
  return {
    put: [...below, ...(newParent && newParent !== parent ? [newParent] : [])],
    forget: [def],
    ...(tree.current === def && { current: newParent ?? null })
  }
}

async function deleteOne(deleting: Deleting, def: SnapshotDef): Promise<void> {
  const { domain, metadataOnly } = deleting
  if (metadataOnly) return forget(deleting, changeOf(deleting, def), {})
  if (isExternalSnapshot(def)) return deleteExternal(deleting, def)
  if (domain.isActive) return deleteInside(deleting, def)
  return forget(deleting, changeOf(deleting, def), { images: deleteOffline(def, def.dom ?? domain.def) })
}

/** Has QEMU delete it from its images. What a QEMU that ends meanwhile has left of it is deleted without one. */
async function deleteInside(deleting: Deleting, def: SnapshotDef): Promise<void> {
  const { domain, tree } = deleting
  const { root } = domain
  const change = changeOf(deleting, def)
  const images = deleteOffline(def, def.dom ?? domain.def)
  writeJournal(root, { deleting: def.name, redo: { images, snapshots: tree.filesOf(change) } })
  try {
    await deleteLive(domain, def.name)
  } catch (error) {
    const heard = await untilHeard(domain)
    // it is deleted without one then
    if (heard === 'ended') return settleLeft(domain)
    if (heard === 'again') endJournal(root)
    throw error
  }
  // a process that is to finish it finds nothing left in the images, and does the rest
  tree.apply(change)
  endJournal(root)
}

/** Does the steps and forgets the snapshot: all of it, once it has begun. */
async function forget(
  { domain, tree }: Deleting,
  change: MomentChange<SnapshotDef>,
  steps: Steps,
  changed?: DomainDef
): Promise<void> {
  const { root } = domain
  const { files = [] } = steps
  const definition = changed && persistentText(changed)
  const redo = { ...steps, definition, snapshots: tree.filesOf(change) }
  writeJournal(root, { redo })
  try {
    await doImages(root, { redo })
  } catch (error) {
    endJournal(root)
    throw error
  }
  if (changed) domain.change({ config: true, live: true }, () => changed)
  tree.apply(change)
  await doSteps(root, { files })
  endJournal(root)
}

/** One disk of a snapshot that is merged: the overlay goes into what it stands on. */
interface Merge {
  /** target of the disk */
  name: string
  /** the guest's */
  disk: DiskDef
  overlay: StorageSource
  base: StorageSource
  /** the image that stands on the overlay; absent: the guest's disk does */
  above: StorageSource | undefined
}

/**
 * A leaf that is not the current one has no data but its own images, which go. All others are merged, as the guest or a
 * later snapshot stands on them.
 */
async function deleteExternal(deleting: Deleting, def: SnapshotDef): Promise<void> {
  const { domain, tree } = deleting
  const memory = def.memory === 'external' && def.memoryFile !== undefined ? [def.memoryFile] : []
  checkUnharmed(def)
  if (def !== tree.current && tree.childrenOf(def).length === 0) {
    const files = [...abandoned(tree, def), ...memory]
    return forget(deleting, changeOf(deleting, def), { files })
  }
  const merges = mergesOf(deleting, def)
  if (domain.isActive) return mergeLive(deleting, def, merges, memory)
  await mergeOffline(deleting, def, merges, memory)
}

function checkUnharmed({ disks }: SnapshotDef): void {
  const harmed = disks.find(({ snapshot, deleteInProgress }) => snapshot === 'external' && deleteInProgress)
  if (harmed) {
    throw fail(
      'VIR_ERR_OPERATION_INVALID',
      `snapshot disk '${harmed.name}' was target of not completed snapshot delete`
    )
  }
}

/** The nearest snapshot before it that the disk takes part in. */
const parentOfDisk = (tree: SnapshotTree, def: SnapshotDef, name: string): SnapshotDef | undefined =>
  tree.ancestorsOf(def).find(({ disks }) => disks.some(one => one.name === name && one.snapshot !== 'no'))

/** Images that only this snapshot needs: those the guest had when it was taken, if they were made by another. */
function abandoned(tree: SnapshotTree, def: SnapshotDef): string[] {
  return externals(def.disks, def.dom!).flatMap(([one]) => {
    const disk = diskByName(def.dom!, one.name)
    if (!disk) throw failed(`failed to find disk '${one.name}' in snapshot VM XML`)
    const parent = parentOfDisk(tree, def, one.name)
    const path = parent && isExternalSnapshot(parent) ? storagePath(disk.source) : undefined
    return path !== undefined && !isNeeded(tree, path, def) ? [path] : []
  })
}

/** The image a snapshot's disk went on in: that of its child, or of the guest (qemuSnapshotExternalGetSnapDiskSrc). */
function overlayOf({ domain, tree }: Deleting, def: SnapshotDef, one: SnapshotDisk): StorageSource {
  const [child] = tree.childrenOf(def)
  const owner = child?.dom ?? (tree.current === def ? domain.def : undefined)
  return (owner && diskByName(owner, one.name)?.source) ?? one.source
}

/** True where an image has an internal snapshot, which would go with it. Differs from libvirt, which loses it. */
const isInside = (tree: SnapshotTree, name: string, image: StorageSource): boolean =>
  tree.list({ deep: true }).some(({ disks, dom }) => {
    const disk = dom && diskByName(dom, name)
    return (
      disk && sameLocation(disk.source, image) && disks.some(one => one.name === name && one.snapshot === 'internal')
    )
  })

/**
 * @throws VIR_ERR_OPERATION_FAILED where chains are not what the snapshots say, VIR_ERR_OPERATION_UNSUPPORTED
 *   (qemuSnapshotDeleteExternalPrepareData)
 */
function mergesOf(deleting: Deleting, def: SnapshotDef): Merge[] {
  const { domain, tree } = deleting
  return externals(def.disks, def.dom!).map(([one]) => {
    const then = diskByName(def.dom!, one.name)
    if (!then) throw failed(`failed to find disk '${one.name}' in snapshot VM XML`)
    const disk = diskByName(domain.def, one.name)
    if (!disk) throw fail('VIR_ERR_INVALID_ARG', `disk '${one.name}' not found in domain`)
    const wanted = overlayOf(deleting, def, one)
    const chain = storageChain(domain.isActive ? disk.source : chainOf(domain, disk))
    const at = chain.findIndex(image => sameLocation(image, wanted))
    if (at < 0) throw failed('VM disk source and snapshot disk source are not the same')
    const base = chain[at + 1]
    if (!base) throw failed('failed to find parent disk source in backing chain')
    if (!sameLocation(base, then.source)) {
      throw failed('snapshot VM disk source and parent disk source are not the same')
    }
    const parent = parentOfDisk(tree, def, one.name)
    if (parent && !isExternalSnapshot(parent)) {
      throw fail(
        'VIR_ERR_OPERATION_UNSUPPORTED',
        'deleting external snapshot that has internal snapshot as parent not supported'
      )
    }
    if (isInside(tree, one.name, chain[at]!)) {
      throw fail(
        'VIR_ERR_OPERATION_UNSUPPORTED',
        'deleting external snapshot whose overlay has an internal snapshot not supported'
      )
    }
    return { name: one.name, disk, overlay: chain[at]!, base, above: chain[at - 1] }
  })
}

/** All images of a disk of a guest that is shut off, as far as they can be told. */
function chainOf({ context }: QemuDomain, disk: DiskDef): StorageSource {
  const copy = structuredClone(disk)
  let number = 0
  determineDiskChain(copy, { context, nextNode: () => ++number })
  return copy.source
}

/** Snapshots below it keep definitions that know the overlay: they stand on what it stood on. */
const withoutOverlays = (merges: readonly Merge[], def: SnapshotDef) => (one: SnapshotDef) => {
  const external = isExternalSnapshot(one)
  const edit = (dom: DomainDef | undefined, then: DomainDef | undefined) =>
    dom && then ? editDisks(dom, merges, external ? then : undefined) : dom
  const dom = edit(one.dom, def.dom)
  const inactiveDom = edit(one.inactiveDom, def.inactiveDom ?? def.dom)
  return { ...one, ...(dom && { dom }), ...(inactiveDom && { inactiveDom }) }
}

/** @param then has the images to take in the place of overlays; absent: they are looked for below only */
function editDisks(dom: DomainDef, merges: readonly Merge[], then: DomainDef | undefined): DomainDef {
  const disks = dom.devices.disks.map(disk => {
    const merge = merges.find(({ name }) => name === disk.target?.dev)
    if (!merge) return disk
    const below = then && sameLocation(disk.source, merge.overlay) ? diskByName(then, merge.name)?.source : undefined
    if (!below) return { ...disk, source: withoutImage(structuredClone(disk.source), merge.overlay) }
    const { backingStore: _, ...alone } = structuredClone(below)
    return { ...disk, source: alone as StorageSource }
  })
  return { ...dom, devices: { ...dom.devices, disks } }
}

/** Takes an image out of the chain below a source. */
function withoutImage(source: StorageSource, gone: StorageSource): StorageSource {
  for (const image of storageChain(source)) {
    if (image.backingStore && sameLocation(image.backingStore, gone))
      image.backingStore = image.backingStore.backingStore
  }
  return source
}

/** The definition of the guest without the overlays (qemuBlockJobRewriteConfigDiskSource). */
function withoutMerged(guest: DomainDef, merges: readonly Merge[]): DomainDef {
  const disks = guest.devices.disks.map(disk => {
    const merge = merges.find(({ name }) => name === disk.target?.dev)
    if (!merge) return disk
    if (!sameLocation(disk.source, merge.overlay)) {
      return { ...disk, source: withoutImage(structuredClone(disk.source), merge.overlay) }
    }
    const { index: _, detected: __, backingStore: ___, ...base } = merge.base
    const known = disk.source.backingStore
    const source = known && sameLocation(known, base as StorageSource) ? structuredClone(known) : base
    return { ...disk, source: source as StorageSource }
  })
  return { ...guest, devices: { ...guest.devices, disks } }
}

const pathOf = (source: StorageSource): string => storagePath(source) ?? ''

/** Has an image say that it stands on another, its content as it is. */
const rebase = (image: { path: string; format?: string | undefined }, base: StorageSource): ImageStep => ({
  args: ['rebase', '-u', '-F', base.format ?? 'raw', '-f', image.format ?? 'qcow2', '-b', pathOf(base), image.path]
})

/** Merges the overlays of a guest that is shut off, which libvirt has a paused QEMU do. */
async function mergeOffline(deleting: Deleting, def: SnapshotDef, merges: Merge[], memory: string[]): Promise<void> {
  const { domain, tree } = deleting
  const commits = merges.map(({ overlay }) => ({
    args: ['commit', '-q', '-d', '-f', overlay.format ?? 'qcow2', pathOf(overlay)]
  }))
  const rebases = merges.flatMap(({ overlay, base, above }) => [
    ...(above ? [rebase({ path: pathOf(above), format: above.format }, base)] : []),
    ...standingOn(tree, overlay, above).map(image => rebase(image, base))
  ])
  // where one cannot be merged, every image stands where it did, with the same in it
  const images: ImageStep[] = [...commits, ...rebases]
  const guest = domain.def
  const changed = withoutMerged(guest, merges)
  const steps = {
    images,
    files: [...merges.map(({ overlay }) => pathOf(overlay)), ...memory]
  }
  await forget(deleting, changeOf(deleting, def, withoutOverlays(merges, def)), steps, changed)
}

/** What of a merge outlives this process. */
const saved = ({ name, overlay, base }: Merge): Merging['disks'] => {
  const image = ({ type, format, ...rest }: StorageSource): MergedImage =>
    ({ type, path: pathOf({ type, ...rest } as StorageSource), format }) as MergedImage
  return isLocalStorage(overlay) && isLocalStorage(base) ? [{ name, overlay: image(overlay), base: image(base) }] : []
}

/** Has QEMU merge the overlays, all disks at once (qemuSnapshotDiscardExternal). @throws VIR_ERR_INTERNAL_ERROR */
async function mergeLive(deleting: Deleting, def: SnapshotDef, merges: Merge[], memory: string[]): Promise<void> {
  const { domain, tree } = deleting
  const { root } = domain
  const change = changeOf(deleting, def, withoutOverlays(merges, def))
  const isWhole = merges.every(({ above }) => above === undefined)
  writeJournal(root, {
    merging: { name: def.name, disks: merges.flatMap(saved) },
    // with QEMU gone it is known by the guest's definition whether all has been merged
    ifGone: 'undo',
    ...(isWhole && {
      redo: { snapshots: tree.filesOf(change), files: [...merges.map(({ overlay }) => pathOf(overlay)), ...memory] }
    })
  })
  const ended = new Set<Merge>()
  const watches: [Merge, BlockJobWatch][] = []
  try {
    for (const merge of merges) watches.push([merge, await beginMerge(domain, merge)])
    for (const [merge, watch] of watches) {
      const end = await watch.until(({ state }) => state === 'ready' || state === 'pending')
      if (end) checkEnd(end, `block commit failed while deleting disk '${merge.name}' snapshot`)
    }
    for (const [merge, watch] of watches) {
      await endMerge(domain, merge, watch)
      ended.add(merge)
    }
  } catch (error) {
    // all is settled with the end of QEMU, or by the next process
    if ((await untilHeard(domain)) !== 'again') throw error
    for (const [merge, watch] of watches) if (!ended.has(merge)) await giveUp(domain, merge, watch)
    // disks that are merged already are no part of it any more
    if (ended.size > 0) tree.apply(changeOfPart(deleting, def, [...ended]))
    endJournal(root)
    throw error
  } finally {
    for (const [, watch] of watches) watch.release()
  }
  await forget(deleting, change, { files: memory })
}

const COMMIT = virDomainBlockCommitFlags

/** Begins the merge of a disk, or finds it begun by a process before this one. */
async function beginMerge(domain: QemuDomain, { name, overlay, base, above }: Merge): Promise<BlockJobWatch> {
  const disk = diskByName(domain.def, name)!
  const found = blockJobOf(domain, disk)
  const watch = found && watchOf(found)
  if (watch) {
    watch.hold()
    return watch
  }
  const active = above ? 0 : COMMIT.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE
  return startCommit(
    domain,
    disk,
    { top: overlay, base, topParent: above },
    {
      flags: COMMIT.VIR_DOMAIN_BLOCK_COMMIT_DELETE | active,
      held: true,
      ...(above && { autoFinalize: false as const })
    }
  )
}

async function endMerge(domain: QemuDomain, merge: Merge, watch: BlockJobWatch): Promise<void> {
  const { name, overlay, base, above } = merge
  const others = standingOn(snapshotsOf(domain), overlay, above)
  const disk = diskByName(domain.def, name)!
  if (watch.job.state === 'ready') await pivotBlockJob(domain, disk, watch.job)
  else if (watch.job.state === 'pending') await finalizeBlockJob(domain, watch)
  checkEnd(await watch.finish(), `finishing block job failed while deleting disk '${name}' snapshot`)
  for (const image of others) await doSteps(domain.root, { images: [{ ...rebase(image, base), mayFail: true }] })
}

function checkEnd({ outcome, error }: JobEnd, what: string): void {
  if (outcome !== 'completed') throw fail('VIR_ERR_INTERNAL_ERROR', `${what}: '${error ?? outcome}'`)
}

async function giveUp(domain: QemuDomain, { name }: Merge, watch: BlockJobWatch): Promise<void> {
  const disk = diskByName(domain.def, name)
  if (!domain.isActive || !disk || isOver(watch.job)) return
  try {
    await cancelBlockJob(domain, disk, watch.job)
    await watch.finish()
  } catch (error) {
    domain.log.warn({ err: error, disk: name }, 'a block job of a snapshot cannot be given up')
  }
}

/** The snapshot without disks whose overlays are gone, though others are left. */
function changeOfPart({ tree }: Deleting, def: SnapshotDef, merges: readonly Merge[]): MomentChange<SnapshotDef> {
  const edit = withoutOverlays(merges, def)
  const disks = def.disks.map(
    (one): SnapshotDisk =>
      merges.some(({ name }) => name === one.name) ? { name: one.name, snapshot: 'no', source: { type: 'file' } } : one
  )
  return { put: [...tree.descendantsOf(def).map(edit), { ...def, disks }] }
}

/** Finishes a deletion that a process before this one has begun: disks whose overlays are gone are done. */
export async function finishMerging(domain: QemuDomain, job: AsyncJob, { name, disks }: Merging): Promise<void> {
  const tree = snapshotsOf(domain)
  const def = tree.get(name)
  if (!def) return endJournal(domain.root)
  const deleting = { domain, job, tree, metadataOnly: false }
  const isThere = ({ name, overlay }: Merging['disks'][number]) => {
    const disk = diskByName(domain.def, name)
    return disk !== undefined && storageChain(disk.source).some(image => sameLocation(image, overlay))
  }
  const done = disks.filter(one => !isThere(one))
  const gone = done.map((one): Merge => ({ ...one, disk: diskByName(domain.def, one.name)!, above: undefined }))
  if (gone.length > 0) tree.apply(changeOfPart(deleting, def, gone))
  const rest = tree.get(name)!
  const memory = rest.memoryFile === undefined ? [] : [rest.memoryFile]
  await mergeLive(deleting, rest, mergesOf(deleting, rest), memory)
}

/** Goes on with the deletion of an external snapshot, whose block jobs have been found again by now. */
export function goOnMerging(domain: QemuDomain): void {
  const { root, jobs, log } = domain
  const merging = domain.isActive ? readJournal(root)?.merging : undefined
  if (!merging) return
  const saved = { kind: 'snapshot', api: 'virDomainSnapshotDelete', sinceMs: Date.now() } as const
  const job = jobs.async?.kind === 'snapshot' ? jobs.async : jobs.restore(saved)
  finishMerging(domain, job, merging)
    .catch(error => log.error({ err: error }, 'the deletion of a snapshot that was cut short could not be finished'))
    .finally(() => job.end())
}

/** Images of snapshots beside the guest's chain that say they stand on one (qemuSnapshotGetDisksWithBackingStore). */
function standingOn(tree: SnapshotTree, overlay: StorageSource, above: StorageSource | undefined) {
  const found = new Map<string, { path: string; format: string | undefined }>()
  for (const { dom } of tree.list({ deep: true })) {
    for (const { source } of dom?.devices.disks ?? []) {
      if (source.type !== 'file' || source.path === undefined || !existsSync(source.path)) continue
      if (above && sameLocation(source, above)) continue
      if (belowOf(source.path, source.format) === storagePath(overlay)) {
        found.set(source.path, { path: source.path, format: source.format })
      }
    }
  }
  return [...found.values()]
}

function belowOf(path: string, format: StorageFormat | undefined): string | undefined {
  try {
    return backingOf(readHeader(path), format ?? 'raw')?.name
  } catch {
    return undefined
  }
}
