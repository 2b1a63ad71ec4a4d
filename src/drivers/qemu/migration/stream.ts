// The memory and device state of a guest, as QEMU migrates them: into a file, and out of one. QEMU is handed a descriptor
// and opens nothing by itself; the async job counts, and can give the migration up.
import { closeSync, fsync } from 'node:fs'
import { promisify } from 'node:util'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type TypedParams, typed } from '../../../conf/wire.ts'
import { type Filter, filterInto } from '../../../host/filter.ts'
import { passableDescriptor } from '../../../host/pass-file.ts'
import { ASYNC_JOBS, type AsyncJob, type JobStatus } from '../../../state/async-job.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { jobParams } from '../job/progress.ts'
import { MIB, SPEED_MAX_MIB, setCapabilities, setParameters } from './params.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const FD_NAME = 'migrate'

/** QEMU's MigrationStatus as that of a job (qemuMigrationUpdateJobType); others are of a migration that goes on. */
const STATUSES: Record<string, JobStatus> = {
  completed: 'hypervisor-completed',
  failed: 'failed',
  cancelled: 'canceled',
  'pre-switchover': 'paused',
  device: 'migrating',
  'postcopy-active': 'postcopy',
  'postcopy-paused': 'postcopy-paused'
}

type Count = number | bigint

/** QEMU's answer about a migration; bytes, and times in ms (query-migrate). */
interface MigrationInfo {
  /** absent where there was none yet */
  status?: string
  downtime?: Count
  'expected-downtime'?: Count
  'setup-time'?: Count
  'error-desc'?: string
  ram?: Record<string, Count> & { mbps?: number }
}

const queryMigrate = ({ qmp }: QemuDomain) => qmp.execute<MigrationInfo>('query-migrate')

/** Parameters of a job's statistics in libvirt's order (qemuDomainMigrationJobDataToParams for a save or dump). */
function statsOf({
  status,
  downtime,
  'expected-downtime': expected,
  'setup-time': setup,
  ram = {}
}: MigrationInfo): TypedParams {
  const idle = status === 'completed' ? downtime : expected
  const of = (name: string) => BigInt(ram[name] ?? 0)
  const bps = Math.trunc((ram.mbps ?? 0) * 125_000)
  const counts: Record<string, Count | undefined> = {
    downtime: idle,
    setup_time: setup,
    data_total: of('total'),
    data_processed: of('transferred'),
    data_remaining: of('remaining'),
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
    memory_page_size: ram['page-size'] || undefined
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
    const info = await queryMigrate(domain)
    if (info.ram) job.stats = statsOf(info)
  }
}

/**
 * Settles when QEMU is through with the migration (qemuMigrationSrcWaitForCompletion).
 * @throws VIR_ERR_OPERATION_FAILED with QEMU's words, VIR_ERR_OPERATION_ABORTED
 */
async function migrationCompleted(domain: QemuDomain, job: AsyncJob): Promise<void> {
  const { name } = ASYNC_JOBS[job.kind]
  const status = await job.until(() => {
    const now = STATUSES[String(job.told('MIGRATION')?.status)]
    return now === 'hypervisor-completed' || now === 'failed' || now === 'canceled' ? now : undefined
  })
  if (status === 'canceled') {
    job.status = 'canceled'
    throw fail('VIR_ERR_OPERATION_ABORTED', `job '${name}' canceled by client`)
  }
  const info = await queryMigrate(domain)
  const downtime = job.stoppedMs === undefined ? info.downtime : Math.max(Date.now() - job.stoppedMs, 0)
  job.stats = statsOf({ ...info, ...(downtime !== undefined && { downtime }) })
  if (status === 'hypervisor-completed') return
  job.status = 'failed'
  const why = info['error-desc']
  throw fail(
    'VIR_ERR_OPERATION_FAILED',
    `job '${name}' ${why === undefined ? 'unexpectedly failed' : `failed: ${why}`}`
  )
}

/** True for a QEMU that can write memory to places of its own in a file. */
export const canMap = async (domain: QemuDomain): Promise<boolean> =>
  (await domain.qmp.execute<{ capability: string }[]>('query-migrate-capabilities')).some(
    ({ capability }) => capability === 'mapped-ram'
  )

/** What memory at places of its own in a file takes (qemuMigrationParamsForSave). */
const MAPPED = ['mapped-ram', 'multifd'] as const

/** Memory of which each page has its place in a file, where several threads of QEMU's write and read it at once. */
export interface Mapped {
  /** of the file's byte where it begins */
  offset: number
  /** threads */
  channels: number
  /** the file once more, opened past the page cache: pages go through it then */
  directFd?: number | undefined
}

/** An open file that memory is written into. */
export interface MemoryFile {
  /** open to be written, where the memory is to begin */
  fd: number
  path: string
  /** programs in between */
  filters?: readonly Filter[]
  /** absent: it is written from one end to the other */
  mapped?: Mapped | undefined
}

/**
 * Writes memory and device state into a file, which is on disk then (qemuMigrationSrcToFile). The CPUs should not run. A
 * migration that fails or is given up is over when this throws.
 * @throws VIR_ERR_OPERATION_FAILED, VIR_ERR_OPERATION_ABORTED, VIR_ERR_INTERNAL_ERROR of a filter, VIR_ERR_SYSTEM_ERROR
 */
export async function migrateToFile(domain: QemuDomain, job: AsyncJob, file: MemoryFile): Promise<void> {
  const { fd, path, filters = [], mapped } = file
  await job.nested(() => prepareMigration(domain, mapped))
  const filtered = await filterInto(filters, { file: fd, directory: domain.root.dir })
  let isOurs = filtered.fd !== fd
  const letGo = () => {
    if (isOurs) closeSync(filtered.fd)
    isOurs = false
  }
  try {
    followMigration(domain, job)
    await job.nested(() => startMigration(domain, filtered.fd, mapped))
    letGo()
    await migrationCompleted(domain, job)
    await filtered.finished
    await promisify(fsync)(fd).catch(error => {
      throw systemError('VIR_FROM_QEMU', `unable to sync '${path}'`, error)
    })
  } catch (error) {
    letGo()
    filtered.stop()
    await cancelMigration(domain)
    job.status = job.status === 'canceled' ? 'canceled' : 'failed'
    throw error
  }
  completeJob(domain, job)
}

/** No limit of what goes to a file, and events of how it goes. */
async function prepareMigration(domain: QemuDomain, mapped: Mapped | undefined): Promise<void> {
  await prepareMapped(domain, mapped)
  await setParameters(domain, { 'max-bandwidth': SPEED_MAX_MIB * MIB })
}

/** A QEMU that was to write past the page cache once would go on to. */
async function prepareMapped(domain: QemuDomain, mapped: Mapped | undefined): Promise<void> {
  await setCapabilities(domain, new Set(mapped ? MAPPED : []))
  if (!mapped) return
  const { qmp } = domain
  const isDirect = mapped.directFd !== undefined
  const known = await qmp.execute<object>('query-migrate-parameters')
  await qmp.execute('migrate-set-parameters', {
    'multifd-channels': mapped.channels,
    ...((isDirect || 'direct-io' in known) && { 'direct-io': isDirect })
  })
}

async function startMigration(domain: QemuDomain, fd: number, mapped: Mapped | undefined): Promise<void> {
  const { qmp } = domain
  if (mapped) return void (await qmp.execute('migrate', { uri: await passMapped(domain, fd, mapped), detach: true }))
  await qmp.passFile(FD_NAME, passableDescriptor(fd))
  try {
    await qmp.execute('migrate', { uri: `fd:${FD_NAME}`, detach: true })
  } catch (error) {
    await qmp.execute('closefd', { fdname: FD_NAME }).catch(() => undefined)
    throw error
  }
}

/** What a set of descriptors is known by in QEMU. */
const SET_NAME = 'libvirt-migrate'

/** Hands QEMU a file to open by itself, as often as it has threads. @returns its URI (qemuMonitorMigrateToFdSet) */
async function passMapped(domain: QemuDomain, fd: number, { offset, directFd }: Mapped): Promise<string> {
  const { qmp, running } = domain
  const set = running.fdsetIndex++
  domain.save()
  for (const [one, what] of [
    [fd, 'buffered'],
    [directFd, 'direct']
  ] as const) {
    if (one === undefined) continue
    const args = { 'fdset-id': set, opaque: `${SET_NAME}-${what}` }
    await qmp.execute('add-fd', args, { file: passableDescriptor(one) })
  }
  return `file:/dev/fdset/${set},offset=0x${offset.toString(16)}`
}

/** Has QEMU close files it was handed for a migration, by whichever shim. */
async function takeBackMapped({ qmp }: QemuDomain): Promise<void> {
  const sets = await qmp.execute<{ 'fdset-id': number; fds: { opaque?: string }[] }[]>('query-fdsets')
  for (const { 'fdset-id': set, fds } of sets) {
    if (fds.some(({ opaque }) => opaque?.startsWith(SET_NAME))) await qmp.execute('remove-fd', { 'fdset-id': set })
  }
}

/** Keeps the job's statistics for who asks what it came to, and tells of it (qemuDomainEventEmitJobCompleted). */
function completeJob(domain: QemuDomain, job: AsyncJob): void {
  domain.jobs.complete('completed')
  domain.events.emit('VIR_DOMAIN_EVENT_ID_JOB_COMPLETED', { params: jobParams(job.data) })
}

/** Statuses of a migration that is not over. */
const isOver = (status: string | undefined) =>
  status === undefined || ['none', 'completed', 'failed', 'cancelled'].includes(status)

/** Time QEMU may take to give a migration up: it ends what it is writing. */
const CANCEL_TIMEOUT_MS = 60_000
const CANCEL_POLL_MS = 20

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
    await new Promise(done => setTimeout(done, CANCEL_POLL_MS))
  }
  domain.log.error({}, 'a migration could not be given up in time')
}

/** What memory is read from: what QEMU has inherited, by its number there, or a file it is handed. */
export type MemorySource = { number: number } | { fd: number; mapped: Mapped }

/**
 * Has QEMU, started to wait for it, read memory and device state (qemuMigrationDstRun).
 * @throws VIR_ERR_OPERATION_FAILED with QEMU's words
 */
export async function migrateIn(domain: QemuDomain, job: AsyncJob, source: MemorySource): Promise<void> {
  const { qmp, context } = domain
  const mapped = 'mapped' in source ? source.mapped : undefined
  await prepareMapped(domain, mapped)
  const staysOn = context.qemu.has('migrate-incoming.exit-on-error')
  const gone = new Promise<never>((_, refuse) => qmp.once('close', refuse))
  gone.catch(() => undefined)
  const uri = 'mapped' in source ? await passMapped(domain, source.fd, source.mapped) : `fd:${source.number}`
  await qmp.execute('migrate-incoming', { uri, ...(staysOn && { 'exit-on-error': false }) })
  await Promise.race([migrationCompleted(domain, job), gone])
  if (mapped) await takeBackMapped(domain)
}
