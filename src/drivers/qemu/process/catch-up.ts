// Changes of a guest while no shim listened to its QEMU.
import { virDomainPausedReason, virDomainRunningReason, virDomainState } from '../../../conf/enums.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { syncBalloon } from './balloon.ts'
import { syncIothreads } from './iothreads.ts'
import { recoverJob } from './recover-job.ts'
import { canPlugVcpus, syncVcpus } from './vcpus.ts'
import { removeWritten } from './written-file.ts'

/** Takes over vCPUs, IOThreads and the size of the balloon, each as far as QEMU tells of it. */
async function syncThreadsAndMemory(domain: QemuDomain): Promise<void> {
  const syncs = [...(canPlugVcpus(domain) ? [syncVcpus] : []), syncIothreads, syncBalloon]
  const done = await Promise.allSettled(syncs.map(sync => sync(domain)))
  for (const one of done) {
    if (one.status === 'rejected') domain.log.warn({ err: one.reason }, 'the definition may not be as QEMU is')
  }
}

/** Tells jobs of QEMU's how they are: one that has ended meanwhile tells nobody by itself. */
async function tellJobs({ qmp, jobs: { qemuJobs } }: QemuDomain): Promise<void> {
  if (qemuJobs.size === 0) return
  const list = await qmp.execute<{ id: string; status: string }[]>('query-jobs')
  const statuses = new Map(list.map(({ id, status }) => [id, status]))
  for (const [id, job] of [...qemuJobs]) {
    const status = statuses.get(id)
    if (job.found) job.found(status)
    else if (status !== undefined) job.tell('JOB_STATUS_CHANGE', { id, status })
  }
}

/** Brings the guest up to what its QEMU is, for events that no shim has heard (qemuProcessUpdateState). */
export async function catchUp(domain: QemuDomain): Promise<void> {
  removeWritten(domain)
  await syncThreadsAndMemory(domain)
  await recoverJob(domain)
  if (!domain.isActive) return
  await tellJobs(domain)
  const { status } = await domain.qmp.execute<{ status: string }>('query-status')
  const { VIR_DOMAIN_PAUSED_UNKNOWN, VIR_DOMAIN_PAUSED_WATCHDOG, VIR_DOMAIN_PAUSED_IOERROR } = virDomainPausedReason
  const pausedReasons: Record<string, number> = {
    watchdog: VIR_DOMAIN_PAUSED_WATCHDOG,
    'io-error': VIR_DOMAIN_PAUSED_IOERROR
  }
  switch (status) {
    case 'running':
      if (!domain.isRunning) domain.setRunning(virDomainRunningReason.VIR_DOMAIN_RUNNING_UNKNOWN)
      break
    case 'prelaunch':
      if (!domain.running.paused) await domain.qmp.execute('cont')
      break
    case 'shutdown':
      domain.handleEvent({ event: 'SHUTDOWN', data: { guest: true }, timestampUs: Date.now() * 1000 })
      break
    case 'guest-panicked':
      domain.handleEvent({ event: 'GUEST_PANICKED', data: { action: 'pause' }, timestampUs: Date.now() * 1000 })
      break
    case 'suspended':
      domain.setState(virDomainState.VIR_DOMAIN_PMSUSPENDED, 0)
      break
    default:
      if (domain.isRunning) domain.setPaused(pausedReasons[status] ?? VIR_DOMAIN_PAUSED_UNKNOWN)
  }
  domain.changed()
}
