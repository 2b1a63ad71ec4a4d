// Copy: another image is made like a disk's and kept like it until the guest goes on with it, or stays
// (qemuDomainBlockCopyCommon).
import { accessSync, constants, statSync } from 'node:fs'
import { dirname, isAbsolute } from 'node:path'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { diskSource } from '../../../conf/devices/disk-source.ts'
import { validateDiskSource, validateLunSource } from '../../../conf/devices/disk-validate.ts'
import { virDomainBlockCopyFlags } from '../../../conf/enums.ts'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { isLocalStorage, isStorageEmpty, type StorageSource } from '../../../conf/storage/source.ts'
import { parseXml } from '../../../conf/xml.ts'
import { copyBitmaps } from '../block/bitmaps.ts'
import { determineDiskChain } from '../block/chain.ts'
import { isDecrypted } from '../block/format.ts'
import { probeFormat, readHeader } from '../block/image-header.ts'
import { effectiveNode, reopenImage, STACKABLE } from '../block/nodes.ts'
import { diskUse } from '../device/disk/backend.ts'
import { diskNode } from '../device/disk/guest-device.ts'
import { type BlockJob, checkNoBlockJob, checkTakesJobs, jobDisk, type Outcome } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { withDiskStorage } from '../process/storage-driver.ts'
import { beginBlockJob } from './begin.ts'
import { carryBitmaps, forgetRecord } from './bitmaps.ts'
import { below, changeConfig, inactiveSource } from './chain.ts'
import type { JobEnds } from './job.ts'
import { noteLoose } from './loose-images.ts'
import { type AddedImage, addImage, openChain } from './new-image.ts'
import { imageSize } from './size.ts'
import { speedOption } from './speed.ts'
import { hasPivoted } from './top-node.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

const {
  VIR_DOMAIN_BLOCK_COPY_SHALLOW,
  VIR_DOMAIN_BLOCK_COPY_REUSE_EXT,
  VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB,
  VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES,
  VIR_DOMAIN_BLOCK_COPY_TARGET_ZEROED
} = virDomainBlockCopyFlags
const SPEED_MAX = 2n ** 63n - 1n

/** Settings of a copy. */
export interface CopyOptions {
  /** bytes/s; 0: as fast as can be */
  speed?: bigint | undefined
  /** bytes that are copied if one of them has changed */
  granularity?: number | undefined
  /** bytes under way at a time */
  bufSize?: bigint | undefined
  /** virDomainBlockCopyFlags */
  flags: number
}

/** The image a text describes: a `<disk>`, of which its image alone counts (virDomainDiskDefParseSource). */
export function parseDestination(text: string): StorageSource {
  const node = parseXml(text, '(disk_definition)')
  if (node.name !== 'disk') {
    throw errorsFrom('VIR_FROM_XML')('VIR_ERR_XML_ERROR', `expecting root element of 'disk', not '${node.name}'`)
  }
  const source = diskSource.parse(node, { inactive: true })
  if (isStorageEmpty(source)) throw errorsFrom('VIR_FROM_DOMAIN')('VIR_ERR_NO_SOURCE')
  validateDiskSource(source)
  return source
}

/**
 * Begins a copy to another image.
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_OPERATION_INVALID for a persistent guest without
 *   VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB, VIR_ERR_OPERATION_UNSUPPORTED for what QEMU cannot do, VIR_ERR_SYSTEM_ERROR for
 *   files, ResourceTaken for an image that another guest has, VIR_ERR_INTERNAL_ERROR with QEMU's words; nothing of it is
 *   left then
 */
export async function copyDisk(
  domain: QemuDomain,
  path: string,
  mirror: StorageSource,
  { speed = 0n, granularity, bufSize, flags: given }: CopyOptions
): Promise<void> {
  if (isLocalStorage(mirror) && !isAbsolute(mirror.path!)) {
    throw fail('VIR_ERR_INVALID_ARG', 'absolute path must be used as block copy target')
  }
  if (speed > SPEED_MAX) {
    const mib = SPEED_MAX >> 20n
    throw fail('VIR_ERR_INVALID_ARG', `bandwidth must be less than '${SPEED_MAX}' bytes/s (${mib} MiB/s)`)
  }
  const disk = jobDisk(domain.def, path)
  checkNoBlockJob(domain, disk)
  checkTakesJobs(disk)
  const isReused = (given & VIR_DOMAIN_BLOCK_COPY_REUSE_EXT) !== 0
  const isShallow = (given & VIR_DOMAIN_BLOCK_COPY_SHALLOW) !== 0 && below(disk.source) !== undefined
  const flags = isShallow ? given : given & ~VIR_DOMAIN_BLOCK_COPY_SHALLOW
  checkDestination(domain, disk, mirror, flags, { isReused, isShallow })
  // a volume of a pool is a file or a device from here on
  await withDiskStorage({ ...disk, source: mirror, mirror: undefined }, domain.context)
  const isThere = checkFile(disk, mirror, isReused)
  chooseFormat(disk, mirror, isReused)
  if (disk.shareable && !disk.readonly && !isShareable(mirror)) {
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', "can't pivot a shared disk to a storage volume not supporting sharing")
  }
  const { context, qmp, running } = domain
  for (const image of storageChain(mirror)) image.index = ++running.nodeIndex
  const { image, chain } = await addMirror(domain, disk, mirror, { isReused, isShallow, isThere })
  const job: BlockJob = {
    name: `copy-${disk.target?.dev}-${effectiveNode(disk.source, context.qemu)}`,
    kind: 'copy',
    disk: disk.target!.dev!,
    state: 'new',
    flags
  }
  disk.mirror = { job: 'copy', source: mirror }
  const order = () =>
    qmp.execute('blockdev-mirror', {
      'job-id': job.name,
      device: diskNode(disk, context.qemu),
      target: image.node,
      replaces: effectiveNode(disk.source, context.qemu),
      ...speedOption(speed),
      granularity: granularity || undefined,
      'buf-size': bufSize || undefined,
      sync: isShallow ? 'top' : 'full',
      'target-is-zero': (flags & VIR_DOMAIN_BLOCK_COPY_TARGET_ZEROED) === 0 ? undefined : true,
      'copy-mode': (flags & VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES) === 0 ? undefined : 'write-blocking',
      'auto-finalize': false,
      'auto-dismiss': false
    })
  await beginBlockJob(domain, job, copyEnds, {
    order,
    kept() {
      image.keep()
      chain?.keep()
    },
    dropped() {
      disk.mirror = undefined
    },
    async undo() {
      await image.discard()
      await chain?.discard()
    }
  })
}

interface Kind {
  isReused: boolean
  isShallow: boolean
}

function checkDestination(domain: QemuDomain, disk: DiskDef, mirror: StorageSource, flags: number, kind: Kind): void {
  if (mirror.type === 'file' && mirror.fdgroup !== undefined) {
    throw unsupported('copy to a FD passed disk source is not yet supported')
  }
  if (disk.device === 'lun') validateLunSource(mirror)
  if ((flags & VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB) === 0 && domain.isPersistent) {
    throw fail('VIR_ERR_OPERATION_INVALID', 'domain is not transient')
  }
  const isZeroed = (flags & VIR_DOMAIN_BLOCK_COPY_TARGET_ZEROED) !== 0
  if (isZeroed && !domain.context.qemu.has('blockdev-mirror.target-is-zero')) {
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'this QEMU cannot be told that the target of a copy reads as zeroes')
  }
  if (!below(mirror)) {
    if (!mirror.backingStore && !kind.isShallow) mirror.backingStore = { type: 'none' }
  } else if (!kind.isShallow) {
    const message = "backingStore of mirror without VIR_DOMAIN_BLOCK_COPY_SHALLOW doesn't make sense"
    throw fail('VIR_ERR_INVALID_ARG', message)
  }
  if (kind.isShallow && !kind.isReused && mirror.format === 'raw') {
    throw unsupported(`shallow copy of disk '${disk.target?.dev}' into a raw file is not possible`)
  }
}

/** Looks at what is there; true if it is to be taken as it is (qemuDomainBlockCopyValidateMirror). */
function checkFile({ target }: DiskDef, mirror: StorageSource, isReused: boolean): boolean {
  if (!isLocalStorage(mirror) || mirror.path === undefined) return isReused
  const { path, type } = mirror
  const dev = target?.dev
  let found: ReturnType<typeof statSync>
  try {
    found = statSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw systemError('VIR_FROM_QEMU', 'unable to verify existence of block copy target', error)
    }
    if (!isReused && type !== 'block') return checkDirectory(path)
    throw systemError('VIR_FROM_QEMU', `missing destination file for disk ${dev}: ${path}`, error)
  }
  if (found.isBlockDevice()) return true
  if (found.size > 0 && !isReused) {
    throw unsupported(`external destination file for disk ${dev} already exists and is not a block device: ${path}`)
  }
  if (type === 'block') {
    const message = `blockdev flag requested for disk ${dev}, but file '${path}' is not a block device`
    throw fail('VIR_ERR_INVALID_ARG', message)
  }
  return isReused
}

/** @throws VIR_ERR_SYSTEM_ERROR where no file can be made */
function checkDirectory(path: string): false {
  try {
    accessSync(dirname(path), constants.W_OK)
    return false
  } catch (error) {
    throw systemError('VIR_FROM_QEMU', 'failed to create copy target', error)
  }
}

/** A format that is not told is the disk's; of a file that is reused it is looked for, as its user vouches for it. */
function chooseFormat({ source }: DiskDef, mirror: StorageSource, isReused: boolean): void {
  if (mirror.format !== undefined) return
  if (!isReused) {
    if (source.format) mirror.format = source.format
    return
  }
  const missing = (cause?: unknown) =>
    fail('VIR_ERR_CONFIG_UNSUPPORTED', 'reused mirror destination format must be specified', cause)
  if (!isLocalStorage(mirror)) throw missing()
  try {
    mirror.format = probeFormat(readHeader(mirror.path!))
  } catch (error) {
    throw missing(error)
  }
}

const isShareable = (source: StorageSource) => source.format === 'raw' && !isDecrypted(source)

interface Mirror {
  image: AddedImage
  /** the images below it, where they are its own */
  chain: Awaited<ReturnType<typeof openChain>> | undefined
}

/**
 * Has QEMU open the image, and make it first where it is not reused. Below one that is reused nothing is opened before
 * the pivot: its user may still be filling it.
 */
async function addMirror(
  domain: QemuDomain,
  disk: DiskDef,
  mirror: StorageSource,
  { isReused, isShallow, isThere }: Kind & { isThere: boolean }
): Promise<Mirror> {
  const { running, context } = domain
  const nextNode = () => ++running.nodeIndex
  if (isReused) {
    const carrier: DiskDef = { ...disk, source: mirror, mirror: undefined }
    if (isShallow && !mirror.backingStore && STACKABLE.includes(mirror.format)) {
      determineDiskChain(carrier, { context, nextNode })
    }
    return { image: await addImage(domain, disk, mirror, {}), chain: undefined }
  }
  const size = await imageSize(domain, disk.source, mirror)
  const own = isShallow ? below(mirror) : undefined
  const chain = own && (await openChain(domain, disk, own))
  const backing = own ?? (isShallow ? below(disk.source) : undefined)
  try {
    const image = await addImage(domain, disk, mirror, { size, isThere, backing, open: backing, mayBeEmpty: true })
    return { image, chain }
  } catch (error) {
    await chain?.discard()
    throw error
  }
}

/** The disk goes on with the copy, or stays with what it had (qemuBlockJobProcessEventConcludedCopyPivot, …CopyAbort). */
export const copyEnds: JobEnds = {
  outcome: (domain, job, disk) => hasPivoted(domain, job, disk, disk.mirror?.source),
  pivot(job, disk) {
    const next = nextSource(job, disk)
    if (!next) return undefined
    const follow = (there: DiskDef) => {
      there.source = inactiveSource(next)
    }
    return { bottom: disk.source, same: follow, topOnly: follow }
  },
  async before(domain, job, disk, outcome) {
    const { source, mirror, readonly } = disk
    if (outcome !== 'completed' || !mirror) return
    const isShallow = (job.flags & VIR_DOMAIN_BLOCK_COPY_SHALLOW) !== 0
    await carryBitmaps(domain, known => copyBitmaps(known, source, mirror.source, isShallow))
    if (mirror.source.format === 'raw') await forgetRecord(domain, mirror.source)
    if (readonly) await reopenImage(domain.qmp, nextSource(job, disk)!, domain.context.qemu, diskUse(disk))
  },
  settle: settleCopy
}

/** Images below one that is reused are opened at the pivot. */
export const isLateChain = ({ flags }: BlockJob): boolean =>
  (flags & VIR_DOMAIN_BLOCK_COPY_REUSE_EXT) !== 0 && (flags & VIR_DOMAIN_BLOCK_COPY_SHALLOW) !== 0

/** A new image that was to be like the top alone stands on what that stands on, unless it was told of others. */
const inherits = ({ flags }: BlockJob, mirror: StorageSource) =>
  (flags & VIR_DOMAIN_BLOCK_COPY_SHALLOW) !== 0 && (flags & VIR_DOMAIN_BLOCK_COPY_REUSE_EXT) === 0 && !below(mirror)

/** The copy as the disk goes on with it. */
function nextSource(job: BlockJob, { mirror, source }: DiskDef): StorageSource | undefined {
  if (!mirror || !inherits(job, mirror.source) || !source.backingStore) return mirror?.source
  return { ...mirror.source, backingStore: source.backingStore }
}

function settleCopy(domain: QemuDomain, job: BlockJob, disk: DiskDef, outcome: Outcome): number[] {
  const mirror = disk.mirror?.source
  if (!mirror) return []
  const own = below(mirror)
  if (outcome !== 'completed') {
    const isLate = isLateChain(job)
    disk.mirror = undefined
    noteLoose(domain, disk, isLate ? { ...mirror, backingStore: { type: 'none' } } : mirror, [])
    // below one that is reused nothing was opened, but for a pivot that came to nothing
    return [mirror.index!, ...(isLate && own?.index !== undefined ? [own.index] : [])]
  }
  const former = disk.source
  const next = nextSource(job, disk)!
  changeConfig(domain, disk, copyEnds.pivot!(job, disk)!)
  disk.mirror = undefined
  disk.source = next
  if (own?.index !== undefined) domain.running.looseImages.delete(own.index)
  noteLoose(domain, disk, inherits(job, mirror) ? { ...former, backingStore: { type: 'none' } } : former, [])
  return [former.index!]
}
