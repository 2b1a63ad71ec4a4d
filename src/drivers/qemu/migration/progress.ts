// How far a migration of QEMU's is: its status, its counts, its end, whoever began it and wherever the memory goes.
import { setTimeout as sleep } from 'node:timers/promises'
import { errorsFrom } from '../../../conf/error.ts'
import { type TypedParams, typed } from '../../../conf/wire.ts'
import { ASYNC_JOBS, type AsyncJob, type JobStatus } from '../../../state/async-job.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { jobParams } from '../job/progress.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Name of the descriptor that QEMU is handed for it. */
export const FD_NAME = 'migrate'
/** What nodes are called by which disks are copied. */
export const COPY_NODE = 'migration-'
/** What a set of descriptors is known by in QEMU. */
export const SET_NAME = 'libvirt-migrate'

/** QEMU's MigrationStatus as that of a job (qemuMigrationUpdateJobType); others are of a migration that goes on. */
export const STATUSES: Record<string, JobStatus> = {
  completed: 'hypervisor-completed',
  failed: 'failed',
  cancelled: 'canceled',
  'pre-switchover': 'paused',
  device: 'migrating',
  'postcopy-active': 'postcopy',
  'postcopy-paused': 'postcopy-paused',
  'postcopy-recover-setup': 'postcopy-recover',
  'postcopy-recover': 'postcopy-recover'
}

type Count = number | bigint

/** QEMU's answer about a migration; bytes, and times in ms (query-migrate). */
export interface MigrationInfo {
  /** absent where there was none yet */
  status?: string
  downtime?: Count
  'expected-downtime'?: Count
  'setup-time'?: Count
  'error-desc'?: string
  ram?: Record<string, Count> & { mbps?: number }
}

export const queryMigrate = ({ qmp }: QemuDomain) => qmp.execute<MigrationInfo>('query-migrate')

/**
 * Time QEMU may not answer when nothing comes back from its destination: it waits for what is under way there, and TCP
 * gives up after a quarter of an hour.
 */
const SILENCE_MS = 1_200_000

/** Breaks QEMU's connections to a destination that says nothing any more: what waits there goes on. */
export async function breakConnections({ qmp, log }: QemuDomain): Promise<void> {
  try {
    type Instance = { type: string; 'node-name'?: string }
    const all = await qmp.execute<Instance[]>('query-yank', undefined, { timeoutMs: SILENCE_MS })
    const instances = all.filter(one => one.type === 'migration' || one['node-name']?.startsWith(COPY_NODE))
    if (instances.length > 0) await qmp.execute('yank', { instances })
  } catch (error) {
    log.warn({ err: error }, 'connections to a destination that does not answer stay as they are')
  }
}

/** Bytes of disks that go along with the memory. */
export interface MirrorCounts {
  total: bigint
  processed: bigint
}

const mirrors = new WeakMap<AsyncJob, () => Promise<MirrorCounts>>()

/** Has the job count disks too. */
export function countMirrors(job: AsyncJob, count: () => Promise<MirrorCounts>): void {
  mirrors.set(job, count)
}

/** Those of a job; undefined for one that is no migration to another host. */
async function mirrorsOf(job: AsyncJob): Promise<MirrorCounts | undefined> {
  if (job.kind !== 'migration-out') return undefined
  return (await mirrors.get(job)?.()) ?? { total: 0n, processed: 0n }
}

/**
 * Parameters of a job's statistics in libvirt's order (qemuDomainMigrationJobDataToParams).
 * @param disks absent for a save or dump
 */
export function statsOf(
  { status, downtime, 'expected-downtime': expected, 'setup-time': setup, ram = {} }: MigrationInfo,
  disks?: MirrorCounts
): TypedParams {
  const idle = status === 'completed' ? downtime : expected
  const of = (name: string) => BigInt(ram[name] ?? 0)
  const mirrored = disks ?? { total: 0n, processed: 0n }
  const left = mirrored.total - mirrored.processed
  const bps = Math.trunc((ram.mbps ?? 0) * 125_000)
  const counts: Record<string, Count | undefined> = {
    downtime: idle,
    setup_time: setup,
    data_total: of('total') + mirrored.total,
    data_processed: of('transferred') + mirrored.processed,
    data_remaining: of('remaining') + left,
    memory_total: of('total'),
    memory_processed: of('transferred'),
    memory_remaining: of('remaining'),
    memory_bps: bps || undefined,
    ...(ram.duplicate !== undefined && {
      memory_constant: of('duplicate'),
      memory_normal: of('normal'),
      memory_normal_bytes: of('normal-bytes')
    }),
    memory_dirty_rate: of('dirty-pages-rate'),
    memory_iteration: of('dirty-sync-count'),
    memory_postcopy_requests: of('postcopy-requests'),
    memory_page_size: ram['page-size'] || undefined,
    ...(disks && { disk_total: disks.total, disk_processed: disks.processed, disk_remaining: left })
  }
  return Object.fromEntries(
    Object.entries(counts).flatMap(([name, count]) => (count === undefined ? [] : [[name, typed.ullong(count)]]))
  )
}

/** Has the job's progress counted by QEMU when it is asked for (qemuDomainGetJobInfoMigrationStats). */
export function followMigration(domain: QemuDomain, job: AsyncJob): void {
  job.status = 'migrating'
  job.stats = statsOf({})
  job.update = async () => {
    const [info, disks] = await Promise.all([queryMigrate(domain), mirrorsOf(job)])
    if (info.ram || disks) job.stats = statsOf(info, disks)
  }
}

/** Statuses at which a migration has failed. */
const FAILURES: readonly JobStatus[] = ['failed', 'canceled', 'postcopy-paused']

/** The guest stands still meanwhile, and nobody asks for what is counted: at the source as all is to be sent yet. */
const isHurried = ({ kind }: AsyncJob, status: JobStatus) => kind === 'migration-in' || status === 'paused'

/**
 * Waits until the migration is so far; its counts are the job's at its end (qemuMigrationSrcWaitForCompletion).
 * @param goals statuses of which any will do
 * @param trouble why it is of no use any more, looked at whenever anything happens to the job
 * @throws VIR_ERR_OPERATION_FAILED with QEMU's words, VIR_ERR_OPERATION_ABORTED, `trouble`
 */
export async function migrationReached(
  domain: QemuDomain,
  job: AsyncJob,
  goals: readonly JobStatus[],
  trouble: () => Error | undefined = () => undefined
): Promise<JobStatus> {
  const { name } = ASYNC_JOBS[job.kind]
  const status = await job.until(() => {
    const now = STATUSES[String(job.told('MIGRATION')?.status)]
    return now !== undefined && (goals.includes(now) || FAILURES.includes(now)) ? now : trouble()
  })
  if (status instanceof Error) throw status
  if (status === 'canceled') {
    job.status = 'canceled'
    throw fail('VIR_ERR_OPERATION_ABORTED', `job '${name}' canceled by client`)
  }
  if (goals.includes(status) && isHurried(job, status)) return status
  const info = await queryMigrate(domain)
  const downtime = job.stoppedMs === undefined ? info.downtime : Math.max(Date.now() - job.stoppedMs, 0)
  job.stats = statsOf({ ...info, ...(downtime !== undefined && { downtime }) }, await mirrorsOf(job))
  if (goals.includes(status)) return status
  job.status = status
  if (status === 'postcopy-paused') throw fail('VIR_ERR_OPERATION_FAILED', `job '${name}' failed in post-copy phase`)
  const why = info['error-desc']
  throw fail(
    'VIR_ERR_OPERATION_FAILED',
    `job '${name}' ${why === undefined ? 'unexpectedly failed' : `failed: ${why}`}`
  )
}

/** Keeps the job's statistics for who asks what it came to, and tells of it (qemuDomainEventEmitJobCompleted). */
export function completeJob(domain: QemuDomain, job: AsyncJob): void {
  domain.jobs.complete('completed')
  domain.events.emit('VIR_DOMAIN_EVENT_ID_JOB_COMPLETED', { params: jobParams(job.data) })
}

/** True for the status of a migration that is over, or of none. */
export const isOver = (status: string | undefined) =>
  status === undefined || ['none', 'completed', 'failed', 'cancelled'].includes(status)

/** Time QEMU may take to give a migration up: it ends what it is writing. */
const CANCEL_TIMEOUT_MS = 60_000
const CANCEL_POLL_MS = 20

/** Has QEMU close files it was handed for a migration, by whichever shim. */
export async function takeBackMapped({ qmp }: QemuDomain): Promise<void> {
  const sets = await qmp.execute<{ 'fdset-id': number; fds: { opaque?: string }[] }[]>('query-fdsets')
  for (const { 'fdset-id': set, fds } of sets) {
    if (fds.some(({ opaque }) => opaque?.startsWith(SET_NAME))) await qmp.execute('remove-fd', { 'fdset-id': set })
  }
}

/** Gives up a migration under way, whoever began it; it is over when this returns (qemuMigrationSrcCancel). */
export async function cancelMigration(domain: QemuDomain): Promise<void> {
  const { monitor } = domain
  if (!domain.isActive || !monitor || monitor.closed) return
  // where it was handed a file that it has not begun to write into
  await monitor.execute('closefd', { fdname: FD_NAME }).catch(() => undefined)
  await takeBackMapped(domain).catch(() => undefined)
  if (isOver((await queryMigrate(domain)).status)) return
  await monitor.execute('migrate_cancel')
  for (const deadline = Date.now() + CANCEL_TIMEOUT_MS; Date.now() < deadline; ) {
    if (isOver((await queryMigrate(domain)).status)) return
    await sleep(CANCEL_POLL_MS)
  }
  domain.log.error({}, 'a migration could not be given up in time')
}
