// External snapshots: each disk goes on in a new image, an overlay, and the one it had is written no more.
import { existsSync } from 'node:fs'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { SnapshotDisk } from '../../../conf/moment/snapshot.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { isLocalStorage, type StorageSource, sameLocation, storagePath } from '../../../conf/storage/source.ts'
import { giveTo } from '../../../host/owner.ts'
import { type BlockNode, type BlockNodes, overlayBitmaps } from '../block/bitmaps.ts'
import { effectiveNode } from '../block/nodes.ts'
import { type AddedImage, addImage } from '../blockjob/new-image.ts'
import { sizeLike } from '../blockjob/size.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { qemuImg } from '../process/journal.ts'
import { checkFile } from './prepare.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Layers an image can have. */
const MAX_DEPTH = 200

/** A disk and the image it is to go on in. */
export interface Overlay {
  /** target of the disk */
  name: string
  source: StorageSource
}

/** Disks of a list that go on in images of their own, with the guest's disk of each. */
export const externals = (disks: readonly SnapshotDisk[], { devices }: DomainDef): [SnapshotDisk, DiskDef][] =>
  disks.flatMap((one, i) => (one.snapshot === 'external' ? [[one, devices.disks[i]!] as [SnapshotDisk, DiskDef]] : []))

/** @throws VIR_ERR_OPERATION_UNSUPPORTED for a disk of too many images (qemuDomainStorageSourceValidateDepth) */
export function checkDepth({ source, target }: DiskDef): void {
  if (storageChain(source).length + 1 <= MAX_DEPTH) return
  throw fail(
    'VIR_ERR_OPERATION_UNSUPPORTED',
    `backing chains more than ${MAX_DEPTH} layers deep are not supported for disk '${target?.dev}'`
  )
}

interface OverlayOptions {
  isSame?(disk: DiskDef, overlay: Overlay): boolean
  onto?: 'yes' | 'known' | 'no'
}

/**
 * A definition whose disks stand on overlays.
 * @param isSame false: the disk stays as it is; a persistent definition may have another image
 * @param onto what it had is the image below; 'known': only where that is known to stand on another, as libvirt does of
 * guests that are shut off; 'no': the overlay tells itself what it stands on
 */
export function withOverlays(
  def: DomainDef,
  overlays: readonly Overlay[],
  { isSame = () => true, onto = 'yes' }: OverlayOptions = {}
): DomainDef {
  const disks = def.devices.disks.map(disk => {
    const overlay = overlays.find(({ name }) => name === disk.target?.dev)
    if (!overlay || !isSame(disk, overlay)) return disk
    const source = structuredClone(overlay.source)
    const { backingStore } = disk.source
    const isKnown = backingStore !== undefined && backingStore.type !== 'none'
    if (onto === 'yes' || (onto === 'known' && isKnown)) source.backingStore = disk.source
    return { ...disk, source }
  })
  return { ...def, devices: { ...def.devices, disks } }
}

/** The same of the persistent definition of a running guest: only disks that have the image of the running one. */
export function withPersistentOverlays(newDef: DomainDef, live: DomainDef, overlays: readonly Overlay[]): DomainDef {
  const numberless = overlays.map(({ name, source }) => ({ name, source: { ...source, index: undefined } }))
  const ofLive = (target: string | undefined) => live.devices.disks.find(disk => disk.target?.dev === target)
  return withOverlays(newDef, numberless as Overlay[], {
    isSame: ({ source, target }) => sameLocation(ofLive(target?.dev)?.source ?? { type: 'none' }, source)
  })
}

/** Commas are doubled in qemu-img's options. */
const escaped = (text: string) => text.replaceAll(',', ',,')

/** qemu-img's arguments that make an overlay (qemuSnapshotCreateQcow2Files). */
function createArgs(disk: DiskDef, { source }: Overlay): string[] {
  const { format = 'raw' } = disk.source
  const options = `backing_fmt=${format},backing_file=${escaped(storagePath(disk.source) ?? '')}`
  return ['create', '-f', source.format ?? 'qcow2', '-o', options, storagePath(source) ?? '']
}

/** Files that making overlays would make: those not there yet. */
export const freshFiles = (overlays: readonly Overlay[]): string[] =>
  overlays.flatMap(({ source }) =>
    isLocalStorage(source) && source.path !== undefined && !existsSync(source.path) ? [source.path] : []
  )

/**
 * Makes the overlays of a guest that is shut off.
 * @throws VIR_ERR_INTERNAL_ERROR with qemu-img's words, VIR_ERR_CONFIG_UNSUPPORTED for a file that has come to be there
 */
export async function makeOverlays(
  { owner }: Pick<QemuDomain, 'owner'>,
  disks: readonly [DiskDef, Overlay][]
): Promise<void> {
  for (const [disk, overlay] of disks) {
    checkDepth(disk)
    // two disks may name one file
    if (isLocalStorage(overlay.source)) checkFile(overlay.name, overlay.source, false)
    await qemuImg(createArgs(disk, overlay))
    giveTo(storagePath(overlay.source)!, owner)
  }
}

/** The overlay of a disk that QEMU has opened, and what it is to do with it. */
export interface LiveOverlay extends Overlay {
  image: AddedImage
  actions: object[]
}

/**
 * Has QEMU make and open the overlays of a running guest; its disks do not stand on them yet.
 * @param nodes as they were before the guest's memory was saved, which hides bitmaps
 * @throws what addImage does; nothing is left then
 */
export async function addOverlays(
  domain: QemuDomain,
  disks: readonly [SnapshotDisk, DiskDef][],
  { reuse, nodes }: { reuse: boolean; nodes: BlockNodes }
): Promise<LiveOverlay[]> {
  const overlays: LiveOverlay[] = []
  try {
    for (const [one, disk] of disks) {
      checkDepth(disk)
      const below = effectiveNode(disk.source, domain.context.qemu)
      const node = nodes.get(below)
      if (!node) throw fail('VIR_ERR_INTERNAL_ERROR', `failed to update capacity data for block node '${below}'`)
      const source = structuredClone(one.source)
      const isQcow2 = source.format === 'qcow2' && disk.source.format === 'qcow2'
      const image = await addImage(domain, disk, source, {
        ...(!reuse && { size: sizeLike(node, isQcow2), backing: disk.source }),
        mayBeEmpty: true
      })
      overlays.push({ name: one.name, source, image, actions: actionsOf(below, image.node, node) })
    }
    return overlays
  } catch (error) {
    await discardOverlays(overlays)
    throw error
  }
}

export async function discardOverlays(overlays: readonly LiveOverlay[]): Promise<void> {
  for (const { image } of overlays) await image.discard()
}

/** Bitmaps that record go on in the overlay; then the disk does. */
function actionsOf(below: string, overlay: string, node: BlockNode): object[] {
  return [...overlayBitmaps(node.bitmaps, overlay), { type: 'blockdev-snapshot', data: { node: below, overlay } }]
}

/** QEMU writes out all there is before; a call that is not waited for would have it change the disks all the same. */
const FLUSH_MS = 3_600_000

/** Has all disks stand on their overlays, or none. @throws VIR_ERR_INTERNAL_ERROR with QEMU's words */
export async function standOn({ qmp }: QemuDomain, overlays: readonly LiveOverlay[]): Promise<void> {
  if (overlays.length === 0) return
  await qmp.execute('transaction', { actions: overlays.flatMap(({ actions }) => actions) }, { timeoutMs: FLUSH_MS })
}
