// Events about jobs: each goes to the object of its job. The call that began the job may be gone, or have been another
// process's.
import type { QemuDomain } from '../domain/domain.ts'
import { heardOfPostcopy } from '../migration/postcopy.ts'
import { type EventData, type Handler, type Handlers, textOf } from './handler.ts'

/** Events of what QEMU does one of at a time. */
const ASYNC_EVENTS = ['DUMP_COMPLETED', 'SPICE_MIGRATE_COMPLETED']

/** Events of QEMU's own jobs, and the member that has the job's id. */
const ID_OF: Record<string, string> = {
  JOB_STATUS_CHANGE: 'id',
  BLOCK_JOB_READY: 'device',
  BLOCK_JOB_COMPLETED: 'device',
  BLOCK_JOB_CANCELLED: 'device',
  BLOCK_JOB_ERROR: 'device',
  BLOCK_JOB_PENDING: 'id'
}

const toAsyncJob =
  (event: string): Handler =>
  ({ jobs }: QemuDomain, data: EventData) =>
    jobs.async?.tell(event, data)

const toQemuJob =
  (event: string, id: string): Handler =>
  ({ jobs }: QemuDomain, data: EventData) =>
    jobs.qemuJobs.get(textOf(data, id))?.tell(event, data)

export const jobEvents: Handlers = {
  ...Object.fromEntries(ASYNC_EVENTS.map(event => [event, toAsyncJob(event)])),
  /** Status of a migration; whoever waits for it finds the guest in the state that comes of it. */
  async MIGRATION(domain, data) {
    const { async: job } = domain.jobs
    if (!job) return
    const isMigration = job.kind === 'migration-out' || job.kind === 'migration-in'
    const heard = isMigration ? heardOfPostcopy(domain, job, data.status) : undefined
    job.tell('MIGRATION', data)
    await heard
  },
  /** Memory is gone through once more: of a migration, a save or a dump. */
  MIGRATION_PASS({ jobs, events }, data, timestampUs) {
    if (!jobs.async) return
    jobs.async.tell('MIGRATION_PASS', data)
    events.emit('VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION', { iteration: Number(data.pass) }, timestampUs)
  },
  ...Object.fromEntries(Object.entries(ID_OF).map(([event, id]) => [event, toQemuJob(event, id)]))
}
