// Jobs on disks as a process before this one has left them: followed on, or acted upon if they ended meanwhile
// (qemuBlockJobRefreshJobs).
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { type BlockJob, isOver } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { activeCommitEnds, commitEnds } from './commit.ts'
import { copyEnds } from './copy.ts'
import { BlockJobWatch, type JobEnds } from './job.ts'
import { settleLooseImages } from './loose-images.ts'
import { pullEnds } from './pull.ts'
import type { QmpJob } from './qemu-job.ts'

const ENDS: { [K in BlockJob['kind']]?: JobEnds } = {
  pull: pullEnds,
  copy: copyEnds,
  commit: commitEnds,
  'active-commit': activeCommitEnds
}

/** @param others ends of kinds that are seen to elsewhere */
export async function refreshBlockJobs(
  domain: QemuDomain,
  others: { [K in BlockJob['kind']]?: JobEnds } = {}
): Promise<void> {
  if (!domain.isActive) return
  const list = await domain.qmp.execute<QmpJob[]>('query-jobs')
  for (const job of [...domain.running.blockJobs.values()]) {
    const ends = { ...ENDS, ...others }[job.kind]
    const found = list.find(({ id }) => id === job.name)
    if (ends) await refresh(domain, job, ends, found)
  }
  await settleLooseImages(domain)
}

async function refresh(domain: QemuDomain, job: BlockJob, ends: JobEnds, found: QmpJob | undefined): Promise<void> {
  const watch = new BlockJobWatch(domain, job, ends)
  const disk = domain.def.devices.disks.find(({ target }) => target?.dev === job.disk)
  if (!found && !isOver(job)) {
    domain.log.warn({ job: job.name, state: job.state }, 'QEMU does not know a block job')
    // a disk says what it is on; of others nobody can tell any more
    if (job.state === 'new' || !disk?.mirror) {
      if (disk) delete disk.mirror
      return watch.drop()
    }
  }
  watch.hold()
  try {
    if (found && job.state === 'new') hasBegun(domain, job, disk)
    if (!found || found.status === 'concluded') watch.news('concluded')
    else await follow(domain, watch, disk, found)
    await watch.catchUp()
  } finally {
    watch.release()
  }
}

/** Its images have their place in the definition. */
function hasBegun({ running }: QemuDomain, job: BlockJob, disk: DiskDef | undefined): void {
  for (const { index } of disk?.mirror ? storageChain(disk.mirror.source) : []) running.looseImages.delete(index!)
  job.state = 'running'
}

async function follow(domain: QemuDomain, watch: BlockJobWatch, disk: DiskDef | undefined, { status }: QmpJob) {
  const { job } = watch
  if (status === 'ready' && job.state === 'pivoting') {
    // whether QEMU was told is not known: if so, the job is about to end, and the disk says how
    job.state = 'ready'
    if (disk?.mirror) disk.mirror.ready = 'yes'
  }
  if (status === 'ready' || status === 'pending') watch.news(status)
  if (job.state === 'aborting') {
    await domain.qmp.execute('block-job-cancel', { device: job.name, force: false }).catch(() => undefined)
  }
}
