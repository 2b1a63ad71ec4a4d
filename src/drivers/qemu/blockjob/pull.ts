// Pull: the guest's image takes in what the images below it have (qemuDomainBlockPullCommon).
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { virDomainBlockRebaseFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { isStorageEmpty, type StorageSource } from '../../../conf/storage/source.ts'
import { pullBitmaps } from '../block/bitmaps.ts'
import { backingName } from '../block/create.ts'
import { effectiveNode } from '../block/nodes.ts'
import { type BlockJob, checkNoBlockJob, checkTakesJobs, jobDisk, type Outcome } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { newPlug } from '../hotplug/live-guest.ts'
import { beginBlockJob } from './begin.ts'
import { carryBitmaps } from './bitmaps.ts'
import { below, changeConfig, imageNumbered, imagesAbove, lookupImage, relativePath } from './chain.ts'
import type { JobEnds } from './job.ts'
import { noteLoose } from './loose-images.ts'
import { speedBytes, speedOption } from './speed.ts'
import { depthBelow } from './top-node.ts'
import { writeOut } from './write-out.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_DOMAIN_BLOCK_REBASE_RELATIVE, VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES } = virDomainBlockRebaseFlags

/** Lets QEMU leave out what it needs no format node for in the names that images have of each other. */
export const maskProtocol = ({ context }: QemuDomain) =>
  context.qemu.has('blockjob.backing-mask-protocol') ? { 'backing-mask-protocol': true } : {}

/** The name an image has of one below, without regard to where it lies. */
export const nameOf = (domain: QemuDomain, source: StorageSource): string =>
  backingName(newPlug(domain, domain.context), source)

/**
 * Begins a pull.
 * @param base the image that stays below; absent: none does
 * @throws VIR_ERR_INVALID_ARG for a disk or image that is not there, VIR_ERR_OPERATION_UNSUPPORTED,
 *   VIR_ERR_INTERNAL_ERROR with QEMU's words and others; the disk has no job then
 */
export async function pullDisk(
  domain: QemuDomain,
  path: string,
  base: string | undefined,
  bandwidth: bigint,
  flags: number
): Promise<void> {
  const { qemu } = domain.context
  const disk = jobDisk(domain.def, path)
  checkNoBlockJob(domain, disk)
  checkTakesJobs(disk)
  if (isStorageEmpty(disk.source))
    throw fail('VIR_ERR_INTERNAL_ERROR', "argument key 'device' must not have null value")
  const image = base === undefined ? undefined : lookupImage(disk, base, disk.source).image
  const isRelative = (flags & VIR_DOMAIN_BLOCK_REBASE_RELATIVE) !== 0
  const name = image && (isRelative ? relativePath(disk.source, image) : nameOf(domain, image))
  const speed = speedBytes(bandwidth, (flags & VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES) !== 0)
  const top = effectiveNode(disk.source, qemu)
  const job: BlockJob = {
    name: `pull-${disk.target?.dev}-${top}`,
    kind: 'pull',
    disk: disk.target!.dev!,
    state: 'new',
    flags,
    ...(image?.index !== undefined && { base: image.index })
  }
  const order = () =>
    domain.qmp.execute('block-stream', {
      device: top,
      'job-id': job.name,
      ...speedOption(speed),
      ...(image && { 'base-node': effectiveNode(image, qemu), 'backing-file': name }),
      'auto-finalize': false,
      // a filter of a pull that is over stays without an image below it until the pull is dismissed, and QEMU 7.2 does not
      // survive query-named-block-nodes then
      'auto-dismiss': true,
      ...maskProtocol(domain)
    })
  await beginBlockJob(domain, job, pullEnds, { order })
}

/** The images between the top and the base have gone (qemuBlockJobProcessEventCompletedPull). */
export const pullEnds: JobEnds = {
  async gone(domain, job, disk) {
    const base = imageNumbered(disk, job.base)
    const chain = storageChain(disk.source)
    // it is only finished at our word: all that it pulled is in the image then
    const images = base ? chain.length - 1 - chain.indexOf(base) : 0
    const depth = await depthBelow(domain, effectiveNode(disk.source, domain.context.qemu))
    if (depth !== undefined && depth <= images) return 'completed'
    return job.state === 'aborting' ? 'cancelled' : 'failed'
  },
  // Differs from libvirt: the image forgets those below it only once it has all of them on disk
  pending: (domain, _, disk) => writeOut(domain, disk, disk.source),
  async before(domain, job, disk, outcome) {
    if (outcome !== 'completed') return
    await carryBitmaps(domain, known => pullBitmaps(known, disk.source, imageNumbered(disk, job.base)))
  },
  settle: settlePull
}

function settlePull(domain: QemuDomain, job: BlockJob, disk: DiskDef, outcome: Outcome): number[] {
  if (outcome !== 'completed') return []
  const { source } = disk
  const base = imageNumbered(disk, job.base)
  const depth = base && storageChain(source).indexOf(base)
  const first = below(source)
  const isDone = first === base
  changeConfig(domain, disk, {
    bottom: base,
    same(there, chain) {
      if (!isDone) there.source.backingStore = depth === undefined ? { type: 'none' } : chain[depth]
    },
    topOnly(there) {
      delete there.source.backingStore
    }
  })
  if (isDone || !first) return []
  const going = imagesAbove(first, base)
  going.at(-1)!.backingStore = { type: 'none' }
  source.backingStore = base ?? { type: 'none' }
  noteLoose(domain, disk, first, [])
  return [first.index!]
}
