// The long job of a guest: migration, save, dump, snapshot, start, backup. It may outlive the call that began it, and
// the process too: what is told of it goes to this object (libvirt's virDomainJobObj, virDomainJobData).
import { virDomainJobOperation } from '../conf/enums.ts'
import { errorsFrom, type VirError } from '../conf/error.ts'
import type { TypedParams } from '../conf/wire.ts'
import type { JobKind } from './job.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const JOB = virDomainJobOperation

/** Jobs that may run beside one unless it says otherwise (VIR_JOB_DEFAULT_MASK). */
const DEFAULT_MASK: readonly JobKind[] = ['query', 'destroy', 'abort']

interface AsyncKind {
  /** kinds of jobs that may run beside it; `destroy` always may */
  mask: readonly JobKind[]
  operation: number
  /** its name in errors (qemuMigrationJobName) */
  name: string
}

/** The kinds of async jobs (virDomainAsyncJob). Source: qemuMigrationJobStart, qemuProcessBeginJob, qemuBackupBegin. */
export const ASYNC_JOBS = {
  'migration-out': {
    mask: [...DEFAULT_MASK, 'suspend', 'migration-op', 'modify-migration-safe'],
    operation: JOB.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT,
    name: 'migration out'
  },
  'migration-in': {
    mask: ['modify-migration-safe'],
    operation: JOB.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN,
    name: 'migration in'
  },
  save: { mask: DEFAULT_MASK, operation: JOB.VIR_DOMAIN_JOB_OPERATION_SAVE, name: 'domain save' },
  dump: { mask: DEFAULT_MASK, operation: JOB.VIR_DOMAIN_JOB_OPERATION_DUMP, name: 'domain core dump' },
  snapshot: { mask: [], operation: JOB.VIR_DOMAIN_JOB_OPERATION_SNAPSHOT, name: 'snapshot' },
  start: { mask: [], operation: JOB.VIR_DOMAIN_JOB_OPERATION_START, name: 'start' },
  backup: {
    mask: [...DEFAULT_MASK, 'suspend', 'modify'],
    operation: JOB.VIR_DOMAIN_JOB_OPERATION_BACKUP,
    name: 'backup'
  }
} as const satisfies Record<string, AsyncKind>

export type AsyncJobKind = keyof typeof ASYNC_JOBS

/** Status of a job (virDomainJobStatus). */
export type JobStatus =
  | 'active'
  | 'migrating'
  | 'hypervisor-completed'
  | 'paused'
  | 'postcopy'
  | 'postcopy-paused'
  | 'postcopy-recover'
  | 'completed'
  | 'failed'
  | 'canceled'

/** Progress and result of a job (virDomainJobData). */
export interface JobData {
  /** virDomainJobOperation */
  operation: number
  status: JobStatus
  elapsedMs: number
  /** VIR_DOMAIN_JOB_* but for operation and time_elapsed, in libvirt's order; absent until the job counts anything */
  stats?: TypedParams
}

/** An async job as status.json keeps it. */
export interface SavedJob {
  kind: AsyncJobKind
  phase?: string
  /** the API that began it */
  api: string
  /** flags of that call */
  flags?: number
  /** ms since the epoch */
  sinceMs: number
  /** it stands still until somebody brings it on */
  stalled?: boolean
}

/** Listener of a job: the owner of a guest's jobs. */
interface Owner {
  /** runs within the job, when no other call talks to the hypervisor */
  nested<T>(job: AsyncJob, work: () => Promise<T> | T): Promise<T>
  /** its mask, or its saved part, is another */
  changed(): void
  ended(job: AsyncJob): void
}

/** One async job, from its begin to its end. Invariant: it is its guest's only one until `end` is called. */
export class AsyncJob {
  readonly kind: AsyncJobKind
  readonly api: string
  readonly flags: number
  readonly sinceMs: number
  /** virDomainJobOperation; a kind may serve several */
  operation: number
  status: JobStatus = 'active'
  /** when the guest's CPUs stopped meanwhile, ms since the epoch */
  stoppedMs: number | undefined
  stats: TypedParams | undefined
  /** another process began it, and this one follows it */
  readonly isRestored: boolean
  /** its end is not the end of the call that began it: who follows it ends it */
  isReleased: boolean
  /** brings `status` and `stats` up to what the hypervisor says now */
  update: (() => Promise<void>) | undefined
  /** asks the hypervisor to give up */
  cancel: (() => Promise<void>) | undefined
  /** settles when it is over, with its error if it failed */
  readonly ended: Promise<void>
  readonly #owner: Owner
  readonly #told = new Map<string, Record<string, unknown>>()
  readonly #looking = new Set<() => void>()
  #phase: string | undefined
  #percent = 0
  #mask: ReadonlySet<JobKind>
  #isStalled: boolean
  #broken: VirError | undefined
  #settle: (error?: unknown) => void = () => {}

  constructor(owner: Owner, { kind, phase, api, flags = 0, sinceMs, stalled = false }: SavedJob, isRestored: boolean) {
    this.#owner = owner
    this.kind = kind
    this.#phase = phase
    this.api = api
    this.flags = flags
    this.sinceMs = sinceMs
    this.operation = ASYNC_JOBS[kind].operation
    this.isRestored = isRestored
    this.isReleased = isRestored
    this.#isStalled = stalled
    this.#mask = new Set(ASYNC_JOBS[kind].mask)
    this.ended = new Promise((resolve, reject) => {
      this.#settle = error => (error === undefined ? resolve() : reject(error))
    })
    // most jobs have nobody who waits for them but their call
    this.ended.catch(() => undefined)
  }

  /** The step it is in; on disk before it begins. */
  get phase(): string | undefined {
    return this.#phase
  }

  set phase(phase: string | undefined) {
    this.#phase = phase
    this.#owner.changed()
  }

  /** It stands still until somebody brings it on: a migration in post-copy that has lost its connection (asyncPaused). */
  get isStalled(): boolean {
    return this.#isStalled
  }

  set isStalled(isStalled: boolean) {
    this.#isStalled = isStalled
    this.#owner.changed()
  }

  /** True if a job of that kind may run beside it (virDomainNestedJobAllowed). */
  allows(kind: JobKind): boolean {
    return kind === 'destroy' || this.#mask.has(kind)
  }

  /** Lets other kinds run beside it from now on (qemuDomainObjSetAsyncJobMask). */
  allow(kinds: readonly JobKind[] = DEFAULT_MASK): void {
    this.#mask = new Set(kinds)
    this.#owner.changed()
  }

  /** Its progress now. */
  get data(): JobData {
    const { operation, status, stats, sinceMs } = this
    return { operation, status, elapsedMs: Math.max(Date.now() - sinceMs, 0), ...(stats && { stats }) }
  }

  /**
   * How far it has come, 0 to 100, of what it counts; undefined for one that counts nothing. It never goes back, though
   * what a running guest writes anew is counted anew.
   */
  get percent(): number | undefined {
    const count = (name: string) => Number(this.stats?.[name]?.value ?? 0)
    const total = count('memory_total') + count('disk_total')
    if (total === 0) return undefined
    const left = count('memory_remaining') + count('disk_remaining')
    this.#percent = Math.max(this.#percent, Math.min(Math.floor(((total - left) / total) * 100), 100))
    return this.#percent
  }

  get saved(): SavedJob {
    const { kind, phase, api, flags, sinceMs, isStalled } = this
    return { kind, phase, api, flags: flags || undefined, sinceMs, stalled: isStalled || undefined }
  }

  /** Runs a step that talks to the hypervisor: no job beside this one runs meanwhile (virDomainObjBeginNestedJob). */
  nested<T>(work: () => Promise<T> | T): Promise<T> {
    return this.#owner.nested(this, work)
  }

  /** Takes what the hypervisor tells of it by itself. */
  tell(event: string, data: Record<string, unknown>): void {
    this.#told.set(event, data)
    this.#wake()
  }

  /** The hypervisor's last event of that name. */
  told(event: string): Record<string, unknown> | undefined {
    return this.#told.get(event)
  }

  /** Takes that event for not told: the hypervisor begins anew. */
  forget(event: string): void {
    this.#told.delete(event)
  }

  /**
   * Settles with what `look` finds; it looks again after whatever happens to the job (qemuDomainObjWait).
   * @throws VIR_ERR_OPERATION_ABORTED once the job is to be given up, VIR_ERR_OPERATION_FAILED when the guest is gone
   */
  until<T>(look: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const again = () => {
        const found = this.#broken ? undefined : look()
        if (found === undefined && !this.#broken) return
        this.#looking.delete(again)
        if (this.#broken) reject(this.#broken)
        else resolve(found as T)
      }
      this.#looking.add(again)
      again()
    })
  }

  /** The job is to be given up, as a client asked (qemuDomainObjAbortAsyncJob). */
  async abort(): Promise<void> {
    const { name } = ASYNC_JOBS[this.kind]
    // QEMU's word for it, which is not waited for
    const job = this.kind === 'migration-out' ? `job '${name}'` : `${name} job:`
    this.#break(fail('VIR_ERR_OPERATION_ABORTED', `${job} canceled by client`))
    await this.cancel?.()
  }

  /** The guest is gone, and with it whatever the job waits for. */
  guestGone(): void {
    this.#break(fail('VIR_ERR_OPERATION_FAILED', 'domain is not running'))
  }

  /** The guest is gone because the job has ended it, and goes on. */
  outliveGuest(): void {
    this.#broken = undefined
  }

  /** Lets the job go on when the call that began it returns (qemuDomainObjReleaseAsyncJob). */
  release(): void {
    this.isReleased = true
  }

  /** Ends the job, once; other jobs may begin. @param error why it failed */
  end(error?: unknown): void {
    this.#owner.ended(this)
    this.#settle(error)
  }

  #break(error: VirError): void {
    this.#broken ??= error
    this.#wake()
  }

  #wake(): void {
    for (const again of [...this.#looking]) again()
  }
}
