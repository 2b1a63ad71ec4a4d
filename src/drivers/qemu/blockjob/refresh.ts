// Jobs on disks as a process before this one has left them: followed on, or acted upon if they ended meanwhile
// (qemuBlockJobRefreshJobs).
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { type BlockJob, isOver } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { activeCommitEnds, commitEnds } from './commit.ts'
import { copyEnds } from './copy.ts'
import { BlockJobWatch, type JobEnds } from './job.ts'
import { pullEnds } from './pull.ts'
import type { QmpJob } from './qemu-job.ts'

const ENDS: { [K in BlockJob['kind']]?: JobEnds } = {
  pull: pullEnds,
  copy: copyEnds,
  commit: commitEnds,
  'active-commit': activeCommitEnds
}

/** A job that was left, and QEMU's word of it. */
interface Left {
  watch: BlockJobWatch
  found: QmpJob | undefined
}

/** Images that were on their way are left to settleLooseImages. */
export async function refreshBlockJobs(domain: QemuDomain): Promise<void> {
  if (!domain.isActive) return
  const list = await domain.qmp.execute<QmpJob[]>('query-jobs')
  const left = [...domain.running.blockJobs.values()].flatMap(job => {
    const found = list.find(({ id }) => id === job.name)
    const watch = takeUp(domain, job, found)
    return watch ? [{ watch, found }] : []
  })
  // before QEMU is asked for its nodes, which it does not survive as long as any job is to be dismissed
  for (const { watch, found } of left) if (found?.status === 'concluded') await watch.taken()
  for (const one of left) await refresh(one)
}

/** Holds a job; of one that QEMU does not know, and that has left no trace, nothing stays. */
function takeUp(domain: QemuDomain, job: BlockJob, found: QmpJob | undefined): BlockJobWatch | undefined {
  const ends = ENDS[job.kind]
  if (!ends) return undefined
  const watch = new BlockJobWatch(domain, job, ends)
  const disk = diskOf(domain, job)
  if (!found && !isOver(job)) {
    domain.log.warn({ job: job.name, state: job.state }, 'QEMU does not know a block job')
    // a disk says what it is on, and an image what is below it; of others nobody can tell any more
    if (job.state === 'new' || !disk || (!disk.mirror && !ends.gone)) {
      if (disk) delete disk.mirror
      watch.drop()
      return undefined
    }
  }
  watch.hold()
  if (found && job.state === 'new') hasBegun(domain, job, disk)
  return watch
}

async function refresh({ watch, found }: Left): Promise<void> {
  try {
    if (!found || found.status === 'concluded') watch.news('concluded')
    else watch.found(found.status)
    await watch.catchUp()
  } finally {
    watch.release()
  }
}

const diskOf = ({ def }: QemuDomain, { disk }: BlockJob): DiskDef | undefined =>
  def.devices.disks.find(({ target }) => target?.dev === disk)

/** Its images have their place in the definition. */
function hasBegun({ running }: QemuDomain, job: BlockJob, disk: DiskDef | undefined): void {
  for (const { index } of disk?.mirror ? storageChain(disk.mirror.source) : []) running.looseImages.delete(index!)
  job.state = 'running'
}
