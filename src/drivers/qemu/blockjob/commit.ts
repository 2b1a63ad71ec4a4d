// Commit: an image takes in what those above it have, which then go; with the guest's own image among them, the guest
// goes on with the lower one once it is told to pivot (qemuBlockCommit).
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { virDomainBlockCommitFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { isStorageEmpty, type StorageSource, storagePath } from '../../../conf/storage/source.ts'
import { commitBitmaps, queryBlockNodes } from '../block/bitmaps.ts'
import { effectiveNode, reopenImage } from '../block/nodes.ts'
import { diskUse } from '../device/disk/backend.ts'
import { diskNode } from '../device/disk/guest-device.ts'
import { type BlockJob, checkNoBlockJob, checkTakesJobs, jobDisk, type Outcome } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { admit } from '../process/access.ts'
import { imagePaths } from '../process/access-paths.ts'
import { beginBlockJob } from './begin.ts'
import { carryBitmaps, forgetRecord } from './bitmaps.ts'
import { below, changeConfig, imageNumbered, imagesAbove, inactiveSource, lookupImage, relativePath } from './chain.ts'
import type { BlockJobWatch, JobEnds } from './job.ts'
import { noteLoose } from './loose-images.ts'
import { maskProtocol, nameOf } from './pull.ts'
import { speedBytes, speedOption } from './speed.ts'
import { hasPivoted } from './top-node.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const badArgument = (message: string) => fail('VIR_ERR_INVALID_ARG', message)

const {
  VIR_DOMAIN_BLOCK_COMMIT_ACTIVE,
  VIR_DOMAIN_BLOCK_COMMIT_SHALLOW,
  VIR_DOMAIN_BLOCK_COMMIT_RELATIVE,
  VIR_DOMAIN_BLOCK_COMMIT_DELETE,
  VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES
} = virDomainBlockCommitFlags

/** Images of a commit, all of one disk's chain. */
export interface CommitImages {
  top: StorageSource
  base: StorageSource
  /** the image above `top`; absent where that is the guest's own */
  topParent?: StorageSource | undefined
}

export interface CommitOptions {
  /** bytes/s; 0: as fast as can be */
  speed?: bigint
  /** virDomainBlockCommitFlags */
  flags?: number
  /** false: it waits for `finalize` when it is through */
  autoFinalize?: false
  /** the caller holds the guest, and sees to the job's end */
  held?: true
}

/** Begins a commit by the names of its images (qemuDomainBlockCommit). @throws as startCommit, VIR_ERR_INVALID_ARG */
export async function commitDisk(
  domain: QemuDomain,
  path: string,
  names: { base: string | undefined; top: string | undefined },
  bandwidth: bigint,
  flags: number
): Promise<void> {
  const speed = speedBytes(bandwidth, (flags & VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES) !== 0)
  const disk = jobDisk(domain.def, path)
  const isTop = names.top === undefined || names.top === disk.target?.dev
  const { image: top, parent } = isTop ? { image: disk.source, parent: undefined } : lookupImage(disk, names.top)
  const isShallow = names.base === undefined && (flags & VIR_DOMAIN_BLOCK_COMMIT_SHALLOW) !== 0
  const base = isShallow ? below(top) : lookupImage(disk, names.base, top).image
  await startCommit(domain, disk, { top, base: base ?? { type: 'none' }, topParent: parent }, { speed, flags })
}

const shown = (source: StorageSource) => storagePath(source) ?? '<null>'

/**
 * Begins a commit.
 * @throws VIR_ERR_INVALID_ARG for images that do not stand so, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_OPERATION_UNSUPPORTED,
 *   VIR_ERR_BLOCK_COPY_ACTIVE, VIR_ERR_INTERNAL_ERROR with QEMU's words; the disk has no job then
 */
export async function startCommit(
  domain: QemuDomain,
  disk: DiskDef,
  { top, base, topParent }: CommitImages,
  { speed = 0n, flags = 0, autoFinalize, held }: CommitOptions = {}
): Promise<BlockJobWatch> {
  const { context } = domain
  const dev = disk.target?.dev
  const has = (bit: number) => (flags & bit) !== 0
  domain.checkActive()
  checkTakesJobs(disk)
  if (isStorageEmpty(disk.source)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `disk ${dev} has no source file to be committed`)
  }
  checkNoBlockJob(domain, disk)
  const isActive = top === disk.source
  if (isActive && !has(VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)) {
    throw badArgument(`commit of '${dev}' active layer requires active flag`)
  }
  if (!isActive && has(VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)) {
    throw badArgument(`active commit requested but '${shown(top)}' is not active`)
  }
  if (!below(top)) throw badArgument(`top '${shown(top)}' in chain for '${shown(disk.source)}' has no backing file`)
  if (has(VIR_DOMAIN_BLOCK_COMMIT_SHALLOW) && base !== below(top)) {
    const where = `immediately below '${shown(top)}' in chain for '${shown(disk.source)}'`
    throw badArgument(`base '${shown(base)}' is not ${where}`)
  }
  const isRelative = has(VIR_DOMAIN_BLOCK_COMMIT_RELATIVE) && topParent !== undefined
  const name = topParent && (isRelative ? relativePath(topParent, base) : nameOf(domain, base))
  const job: BlockJob = {
    name: `commit-${dev}-${effectiveNode(top, context.qemu)}`,
    kind: isActive ? 'active-commit' : 'commit',
    disk: dev!,
    state: 'new',
    flags,
    top: top.index!,
    base: base.index!,
    ...(topParent && { topParent: topParent.index! })
  }
  // without those below: the job is none of theirs
  const { backingStore: _backingStore, ...mirror } = base
  if (isActive) disk.mirror = { job: 'active-commit', source: structuredClone(mirror) as StorageSource }
  // that above is told of the one below
  const written = topParent && topParent !== disk.source ? [base, topParent] : [base]
  const order = async () => {
    await admit(
      domain,
      written.flatMap(image => imagePaths(image, true))
    )
    return domain.qmp.execute('block-commit', {
      device: diskNode(disk, context.qemu),
      'job-id': job.name,
      ...speedOption(speed),
      'top-node': effectiveNode(top, context.qemu),
      'base-node': effectiveNode(base, context.qemu),
      'backing-file': name,
      'auto-finalize': autoFinalize ?? !isActive,
      'auto-dismiss': false,
      ...maskProtocol(domain)
    })
  }
  const dropped = () => {
    disk.mirror = undefined
  }
  return beginBlockJob(domain, job, isActive ? activeCommitEnds : commitEnds, { order, dropped, held })
}

/** Files of images that go for good. */
const filesOf = (images: StorageSource[], { flags }: BlockJob): string[] =>
  (flags & VIR_DOMAIN_BLOCK_COMMIT_DELETE) === 0
    ? []
    : images.flatMap(image => (image.type === 'file' && image.path !== undefined ? [image.path] : []))

/** qemuBlockJobProcessEventCompletedCommit */
export const commitEnds: JobEnds = {
  async before(domain, job, disk, outcome) {
    const base = imageNumbered(disk, job.base)
    const top = imageNumbered(disk, job.top)
    if (outcome !== 'completed' || !base || !top) return
    const { qmp, context } = domain
    const known = { nodes: await queryBlockNodes(qmp), qemu: context.qemu }
    const actions = commitBitmaps(known, top, base, false)
    if (actions.length === 0) return
    const reopen = (readOnly: boolean) => reopenImage(qmp, base, context.qemu, { ...diskUse(disk), readOnly })
    await reopen(false)
    try {
      await qmp.execute('transaction', { actions })
    } finally {
      await reopen(true)
    }
  },
  settle(domain, job, disk, outcome) {
    if (outcome !== 'completed') return []
    const base = imageNumbered(disk, job.base)
    const top = imageNumbered(disk, job.top)
    const topParent = imageNumbered(disk, job.topParent)
    if (!base || !top || !topParent) return []
    const chain = storageChain(disk.source)
    changeConfig(domain, disk, {
      bottom: base,
      same(_, config) {
        config[chain.indexOf(topParent)]!.backingStore = config[chain.indexOf(base)]
      },
      topOnly(there) {
        delete there.source.backingStore
      }
    })
    const going = imagesAbove(top, base)
    going.at(-1)!.backingStore = { type: 'none' }
    topParent.backingStore = base
    noteLoose(domain, disk, top, filesOf(going, job))
    return [top.index!]
  }
}

/** qemuBlockJobProcessEventCompletedActiveCommit, qemuBlockJobProcessEventFailedActiveCommit */
export const activeCommitEnds: JobEnds = {
  outcome: (domain, job, disk) => hasPivoted(domain, job, disk, imageNumbered(disk, job.base)),
  pivot(job, disk) {
    const base = imageNumbered(disk, job.base)
    if (!base) return undefined
    const depth = storageChain(disk.source).indexOf(base)
    return {
      bottom: base,
      same(there, config) {
        there.source = config[depth]!
      },
      topOnly(there) {
        there.source = inactiveSource(base)
      }
    }
  },
  async before(domain, job, disk, outcome) {
    const base = imageNumbered(disk, job.base)
    if (!base) return
    if (outcome === 'completed') await carryBitmaps(domain, known => commitBitmaps(known, disk.source, base, true))
    if (outcome !== 'completed' || base.format === 'raw') await forgetRecord(domain, base)
    if (outcome === 'completed') return
    // QEMU keeps it open for writing, by which others that stand on it would be refused
    await reopenImage(domain.qmp, base, domain.context.qemu, { ...diskUse(disk), readOnly: true })
  },
  settle: settleActiveCommit
}

function settleActiveCommit(domain: QemuDomain, job: BlockJob, disk: DiskDef, outcome: Outcome): number[] {
  const base = imageNumbered(disk, job.base)
  if (outcome !== 'completed' || !base) {
    disk.mirror = undefined
    return []
  }
  const top = disk.source
  changeConfig(domain, disk, activeCommitEnds.pivot!(job, disk)!)
  const going = imagesAbove(top, base)
  going.at(-1)!.backingStore = { type: 'none' }
  delete base.detected
  disk.mirror = undefined
  disk.source = base
  noteLoose(domain, disk, top, filesOf(going, job))
  return [top.index!]
}
