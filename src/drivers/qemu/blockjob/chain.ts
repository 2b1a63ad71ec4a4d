// Chains of images as block jobs change them, in the live definition and, as far as it agrees, in the persistent one.
import { realpathSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { isLocalStorage, type StorageSource, sameLocation, storagePath } from '../../../conf/storage/source.ts'
import { isFileName } from '../block/backing-name.ts'
import { backingOf, readHeader } from '../block/image-header.ts'
import { withDisk } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_STORAGE')

/** An image that stands below another, or undefined at the end of the chain. */
export const below = ({ backingStore }: StorageSource): StorageSource | undefined =>
  backingStore?.type === 'none' ? undefined : backingStore

/** The image of that number in a disk's chain. */
export const imageNumbered = ({ source }: DiskDef, index: number | undefined): StorageSource | undefined =>
  index === undefined ? undefined : storageChain(source).find(image => image.index === index)

/** The images of a chain from its top down to one, without it; to its end where that is not in it. */
export function imagesAbove(top: StorageSource, bottom: StorageSource | undefined): StorageSource[] {
  const chain = storageChain(top)
  const end = bottom === undefined ? -1 : chain.indexOf(bottom)
  return end < 0 ? chain : chain.slice(0, end)
}

const shown = (text: string | undefined) => text ?? '<null>'

/**
 * The image of a disk's chain that a user means: by its path, by its name in the image above, by its number `vda[2]`;
 * without a name the last one (virStorageSourceChainLookup).
 * @param beneath only those below that one
 * @throws VIR_ERR_INVALID_ARG
 */
export function lookupImage(
  { source, target }: DiskDef,
  name: string | undefined,
  beneath?: StorageSource
): { image: StorageSource; parent: StorageSource | undefined } {
  const start = target?.dev
  const [, named, digits] = /^([^[]*)\[(\d+)\]$/.exec(name ?? '') ?? []
  const index = Number(digits ?? 0)
  if (index !== 0 && named !== start) {
    const message = `requested target '${named}' does not match target '${start}'`
    throw fail('VIR_ERR_INVALID_ARG', message)
  }
  const chain = storageChain(source)
  const first = beneath ? chain.indexOf(beneath) + 1 : 0
  for (let i = first; i < chain.length; i++) {
    const image = chain[i]!
    const parent = chain[i - 1]
    const isIt =
      index !== 0
        ? image.index === index
        : name === undefined
          ? below(image) === undefined
          : isNamed(image, parent, name)
    if (isIt) return { image, parent }
  }
  throw fail('VIR_ERR_INVALID_ARG', notFound(shown(start), name, index, beneath))
}

function notFound(start: string, name: string | undefined, index: number, beneath?: StorageSource): string {
  if (index !== 0) return `could not find backing store index '${index}' in chain for '${start}'`
  if (name === undefined) return `could not find base image in chain for '${start}'`
  const place = beneath ? ` beneath '${shown(storagePath(beneath))}'` : ''
  return `could not find image '${name}'${place} in chain for '${start}'`
}

/** A name is a path, or relative to the image above (virFileRelLinkPointsTo). */
function isNamed(image: StorageSource, parent: StorageSource | undefined, name: string): boolean {
  const path = storagePath(image)
  if (path === name) return true
  if (!isFileName(name) || !isLocalStorage(image) || path === undefined) return false
  const dir = parent && isLocalStorage(parent) && parent.path !== undefined ? dirname(parent.path) : '.'
  return isSameFile(resolve(dir, name), path)
}

function isSameFile(a: string, b: string): boolean {
  try {
    if (realpathSync(a) === realpathSync(b)) return true
    const [one, other] = [statSync(a), statSync(b)]
    return one.dev === other.dev && one.ino === other.ino
  } catch {
    return false
  }
}

/** The name an image has in the one above, if that is a relative one (virStorageSourceFetchRelativeBackingPath). */
function relativeName(above: StorageSource): string | undefined {
  if (!isLocalStorage(above) || above.path === undefined || above.format === undefined) return undefined
  try {
    const name = backingOf(readHeader(above.path), above.format)?.name
    return name !== undefined && isFileName(name) && !name.startsWith('/') ? name : undefined
  } catch {
    return undefined
  }
}

/**
 * The name by which the image above `top` comes to `base`, if all names on the way are relative
 * (virStorageSourceGetRelativeBackingPath).
 * @throws VIR_ERR_OPERATION_INVALID otherwise
 */
export function relativePath(above: StorageSource, base: StorageSource): string {
  let path = ''
  for (let parent = above; ; parent = below(parent)!) {
    const name = relativeName(parent)
    if (name === undefined) {
      throw errorsFrom('VIR_FROM_QEMU')('VIR_ERR_OPERATION_INVALID', "can't keep relative backing relationship")
    }
    path = `${path.slice(0, path.lastIndexOf('/') + 1)}${name}`
    if (below(parent) === base || !below(parent)) return path
  }
}

/** The persistent definition's disk that goes by the same target. */
const configDisk = (domain: QemuDomain, { target }: DiskDef): DiskDef | undefined =>
  domain.newDef?.devices.disks.find(one => one.target?.dev === target?.dev)

/** Both chains name the same images, down to `bottom` or to the end (qemuBlockJobGetConfigDisk). */
function sameChain(a: StorageSource, b: StorageSource, bottom: StorageSource | undefined): boolean {
  let one: StorageSource | undefined = a
  let other: StorageSource | undefined = b
  while (one && other) {
    if (!sameLocation(one, other)) return false
    if (bottom && one === bottom) return true
    one = one.backingStore
    other = other.backingStore
  }
  return !one && !other
}

/** Changes of the persistent definition's disk, by how far its chain is that of the running guest. */
export interface ConfigChange {
  /** the last image of the chain that must agree; absent: all must */
  bottom: StorageSource | undefined
  /** its chain is the same: by position, as its images have no numbers */
  same(disk: DiskDef, chain: StorageSource[]): void
  /** only its top is */
  topOnly(disk: DiskDef): void
}

/** The persistent definition's disk as it follows a change of the live one; undefined where that has another image. */
export function followed(
  domain: QemuDomain,
  live: DiskDef,
  { bottom, same, topOnly }: ConfigChange
): DiskDef | undefined {
  const there = configDisk(domain, live)
  if (!there || !sameLocation(live.source, there.source)) return undefined
  const disk = structuredClone(there)
  if (sameChain(live.source, there.source, bottom)) same(disk, storageChain(disk.source))
  else topOnly(disk)
  return disk
}

/** Has the persistent definition follow a change of the live one that is not made yet. It is on disk then. */
export function changeConfig(domain: QemuDomain, live: DiskDef, change: ConfigChange): void {
  const disk = followed(domain, live, change)
  if (disk) domain.change({ config: true }, def => withDisk(def, disk))
}

/** A chain as definitions that do not run have it: without numbers, and without what was found (qemuBlockJobRewriteConfigDiskSource). */
export function inactiveSource(source: StorageSource): StorageSource {
  const { index: _index, detected: _detected, handed: _handed, ...image } = source
  if (image.backingStore && image.backingStore.type !== 'none') {
    image.backingStore = image.backingStore.detected ? undefined : inactiveSource(image.backingStore)
  }
  return structuredClone(image) as StorageSource
}
