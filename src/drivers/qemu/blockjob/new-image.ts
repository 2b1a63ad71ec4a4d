// Images added to a running guest: made or found, and opened by QEMU as block nodes, before any definition has them
// (qemuBlockStorageSourceCreate).
import { closeSync, existsSync, lstatSync, openSync } from 'node:fs'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { storageChain, storageImages } from '../../../conf/storage/chain.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import { giveTo } from '../../../host/owner.ts'
import { deviceAllocations } from '../../../state/allocation.ts'
import { checkCreatable, createFormat, createStorage, type NewImageSize } from '../block/create.ts'
import { type StorageUse, storageIds } from '../block/node-names.ts'
import { addStorageChain, effectiveNode, storageParts } from '../block/nodes.ts'
import { prepareImage } from '../block/prepare.ts'
import { diskUse } from '../device/disk/backend.ts'
import { reservationsHelper } from '../device/disk/pr-helper.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hostGuest } from '../domain/host-guest.ts'
import { newPlug } from '../hotplug/live-guest.ts'
import { leftBy } from '../hotplug/removal.ts'
import type { Builder } from '../parts/builder.ts'
import { admit } from '../process/access.ts'
import { imagePaths } from '../process/access-paths.ts'
import { type Claimed, claimMore } from '../process/claim.ts'
import { withDiskStorage } from '../process/storage-driver.ts'
import { createJob, noteLoose, removeLoose } from './loose-images.ts'
import { runQemuJob } from './qemu-job.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Time QEMU may take to begin. */
const BEGIN_MS = 30_000

export interface NewImageOptions {
  /** makes it with these measures; absent: it is there and is only opened */
  size?: NewImageSize | undefined
  /** the image it names as the one below */
  backing?: StorageSource | undefined
  /** the image below, which QEMU has open already; absent: it is opened without one */
  open?: StorageSource | undefined
  /** the use of it; absent: that of the disk, for writing */
  use?: StorageUse
  /** an empty file is taken as if it were not there */
  mayBeEmpty?: boolean
  /** what it is to be made in is there and nobody's to give away: a device */
  isThere?: boolean
}

/** Images QEMU has opened, in no definition yet. */
export interface Added {
  /** A definition has it from now on: to be called before that is saved. */
  keep(): void
  /** Takes it away, with a file that was made for it; what stays is logged. */
  discard(): Promise<void>
}

/** One image. */
export interface AddedImage extends Added {
  source: StorageSource
  /** its uppermost node */
  node: string
}

/**
 * Adds an image to QEMU, and makes it where it is to be made. A failure leaves no node, no file and no claim.
 * @param disk whose image it is to be, or of which it is a copy
 * @param source gets a number if it has none
 * @throws VIR_ERR_SYSTEM_ERROR for a file that cannot be made, VIR_ERR_OPERATION_FAILED with QEMU's words where it cannot
 *   make it, VIR_ERR_OPERATION_UNSUPPORTED, ResourceTaken and others
 */
export async function addImage(
  domain: QemuDomain,
  disk: DiskDef,
  source: StorageSource,
  { size, backing, open, use = { ...diskUse(disk), readOnly: false }, mayBeEmpty, isThere }: NewImageOptions
): Promise<AddedImage> {
  const { running, def, qmp } = domain
  if (size) checkCreatable(source)
  const carrier: DiskDef = { ...disk, source, mirror: undefined }
  const context = await withDiskStorage(carrier, domain.context)
  const path = size && !isThere && source.type === 'file' ? source.path : undefined
  const isMade = path !== undefined && !isEmptyFile(path, mayBeEmpty)
  source.index ??= ++running.nodeIndex
  const { index } = source
  prepareImage(source, use.readOnly, context)
  noteLoose(domain, disk, { ...source, backingStore: { type: 'none' } }, isMade ? [path] : [])
  domain.save()
  let claimed: Claimed | undefined
  const image: AddedImage = {
    source,
    node: effectiveNode(source, context.qemu),
    keep: () => void running.looseImages.delete(index),
    async discard() {
      await removeLoose(domain, index, running)
      await claimed?.release()
    }
  }
  const tell = async (build: (to: Builder) => void) => {
    const plug = newPlug(domain, context)
    build(plug)
    await plug.execute(qmp, leftBy(domain))
    return plug
  }
  try {
    if (isMade) makeFile(path)
    if (path !== undefined && !running.ownership) giveTo(path, running.owner)
    claimed = await claimMore(domain, deviceAllocations('disks', carrier, def))
    await reservationsHelper.take(carrier, { ...hostGuest(domain), context })
    await admit(domain, imagePaths(source, !use.readOnly))
    const parts = storageParts({ ...source, backingStore: open ?? { type: 'none' } }, use, context.qemu)
    const to = await tell(parts.objects)
    const { storageNode, formatNode } = storageIds(source)
    if (size) await create(domain, storageNode, createStorage(to, source, size))
    await tell(parts.storage)
    if (size) await create(domain, formatNode, createFormat(to, source, size, backing))
    await tell(parts.format)
    return image
  } catch (error) {
    await image.discard()
    throw error
  }
}

/** True for a file that is there, and empty. @throws VIR_ERR_OPERATION_FAILED for one that must not be there */
function isEmptyFile(path: string, mayBeEmpty = false): boolean {
  if (!existsSync(path)) return false
  const found = lstatSync(path)
  if (mayBeEmpty && found.isFile() && found.size === 0) return true
  throw fail('VIR_ERR_OPERATION_FAILED', `file '${path}' exists already`)
}

function makeFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    throw systemError('VIR_FROM_QEMU', `failed to create image file '${path}'`, error)
  }
}

/** Has QEMU make storage or format of an image. @throws VIR_ERR_OPERATION_FAILED with its words */
async function create(domain: QemuDomain, node: string, options: object | undefined): Promise<void> {
  if (!options) return
  const id = createJob(node)
  const begin = () => domain.qmp.execute('blockdev-create', { 'job-id': id, options }, { timeoutMs: BEGIN_MS })
  const error = await runQemuJob(domain, id, begin)
  if (error !== undefined) throw fail('VIR_ERR_OPERATION_FAILED', `failed to format image: '${error}'`)
}

/**
 * Has QEMU open an image that is there and all it stands on, to be read.
 * @throws VIR_ERR_INTERNAL_ERROR with QEMU's words, VIR_ERR_CONFIG_UNSUPPORTED, ResourceTaken; nothing is left then
 */
export async function openChain(domain: QemuDomain, disk: DiskDef, source: StorageSource): Promise<Added> {
  const { running, def, qmp } = domain
  const carrier: DiskDef = { ...disk, source, mirror: undefined, readonly: true }
  const context = await withDiskStorage(carrier, domain.context)
  for (const image of storageImages(source)) {
    prepareImage(image, true, context)
    image.index ??= ++running.nodeIndex
  }
  const index = source.index!
  noteLoose(domain, disk, source, [])
  domain.save()
  let claimed: Claimed | undefined
  const added: Added = {
    keep: () => void running.looseImages.delete(index),
    async discard() {
      await removeLoose(domain, index, running)
      await claimed?.release()
    }
  }
  try {
    claimed = await claimMore(domain, deviceAllocations('disks', carrier, def))
    await admit(
      domain,
      storageChain(source).flatMap(image => imagePaths(image, false))
    )
    const plug = newPlug(domain, context)
    addStorageChain(plug, source, { ...diskUse(disk), readOnly: true })
    await plug.execute(qmp, leftBy(domain))
    return added
  } catch (error) {
    await added.discard()
    throw error
  }
}
