// The jobs of one guest (virDomainJobObj): calls that change something queue here, with a limit and the holder's name in
// the error. Calls that only read take no job and wait for nobody.
//
//     job     one at a time: query, suspend, modify, …; `destroy` waits for none and all others wait for it
//     agent   one at a time, beside any job: what talks to the guest's agent alone
//     async   one at a time, over many jobs: its mask says which may run beside it, its own steps are nested jobs
import { errorsFrom } from '../conf/error.ts'
import { AsyncJob, type AsyncJobKind, type JobData, type JobStatus, type SavedJob } from './async-job.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
/** libvirt's src/conf/virdomainjob.c is of no driver */
const failJob = errorsFrom('VIR_FROM_NONE')

/** libvirt's job kinds (virDomainJob). */
export type JobKind = 'query' | 'destroy' | 'suspend' | 'modify' | 'abort' | 'migration-op' | 'modify-migration-safe'

/** virDomainAgentJob */
export type AgentJobKind = 'query' | 'modify'

/** The job a call takes. */
export type Job = JobKind | { agent: AgentJobKind } | { async: AsyncJobKind }

/** The call that takes a job. */
export interface JobOwner {
  api: string
  /** flags of an async job's call */
  flags?: number
  /** ends the wait for the job */
  signal?: AbortSignal
}

/** libvirt's VIR_JOB_WAIT_TIME. */
export const JOB_WAIT_MS = 30_000

/** A job that is held, but for the async one. */
export interface HeldJob {
  kind: JobKind | 'agent'
  api: string
  /** ms since the epoch */
  sinceMs: number
}

/** A call that wants a job; `within` names the async job whose step it is. */
interface Wanted {
  job: Job
  owner: JobOwner
  within?: AsyncJob
}

/** A job of the hypervisor's own, of which it tells by the job's id. */
export interface HypervisorJob {
  tell(event: string, data: Record<string, unknown>): void
  /** Hears how the hypervisor has it, after a time in which it told nothing; undefined: it has not. Absent: it is told so */
  found?(status: string | undefined): void
}

/** A job that has begun. */
interface Taken {
  async?: AsyncJob
  end(error?: unknown): void
}

export interface JobsOptions {
  /** limit of the wait for a job */
  waitMs?: number
  /** the saved part of the async job has changed */
  onChange?(): void
}

/**
 * The jobs of one guest. Invariants: a call waits only as long as something it may not run beside is held, and of those
 * that wait the first that may run does.
 */
export class Jobs {
  /** one, and beside it those that destroy the guest */
  readonly #held = new Set<HeldJob>()
  #agent: HeldJob | undefined
  #async: AsyncJob | undefined
  #completed: JobData | undefined
  /** listeners for jobs of QEMU's own (block jobs, …), by the job's id */
  readonly qemuJobs = new Map<string, HypervisorJob>()
  readonly #waiting = new Set<{ wanted: Wanted; start(): void }>()
  readonly #waitMs: number
  readonly #onChange: () => void

  constructor({ waitMs = JOB_WAIT_MS, onChange = () => {} }: JobsOptions = {}) {
    this.#waitMs = waitMs
    this.#onChange = onChange
  }

  /** All that is held: the async job is not among them. */
  get held(): HeldJob[] {
    return [...this.#held, ...(this.#agent ? [this.#agent] : [])]
  }

  /** The job that is held now. */
  get active(): HeldJob | undefined {
    return [...this.#held][0]
  }

  /** The async job under way. */
  get async(): AsyncJob | undefined {
    return this.#async
  }

  /** Name of the API that holds the guest. */
  get holder(): string | undefined {
    return this.active?.api ?? this.#async?.api
  }

  /** The saved part of the async job; a start's is the status as a whole. */
  get saved(): SavedJob | undefined {
    return this.#async?.kind === 'start' ? undefined : this.#async?.saved
  }

  /** Result of the last job that counts; it outlives the job and the run. @param forget it has been told for good */
  takeCompleted({ forget = false } = {}): JobData | undefined {
    const data = this.#async ? undefined : this.#completed
    if (forget && data) this.#completed = undefined
    return data
  }

  /** Keeps what the async job has come to, for who asks for it when it is over. @param told what somebody else has counted */
  complete(status: JobStatus, told: Partial<JobData> = {}): void {
    if (!this.#async) return
    this.#async.status = status
    this.#completed = { ...this.#async.data, ...told }
  }

  /**
   * Runs with the job held. An async one ends with `work`, unless that releases it.
   * @throws VIR_ERR_OPERATION_TIMEOUT naming the holder, VIR_ERR_OPERATION_ABORTED when the signal fires while waiting
   */
  async run<T>(job: { async: AsyncJobKind }, owner: JobOwner, work: (job: AsyncJob) => Promise<T> | T): Promise<T>
  async run<T>(job: Job, owner: JobOwner, work: (job?: AsyncJob) => Promise<T> | T): Promise<T>
  async run<T>(job: Job, owner: JobOwner, work: (job: AsyncJob) => Promise<T> | T): Promise<T> {
    return this.#runWith(await this.#acquire({ job, owner }), work)
  }

  /** Takes over the async job of a former process; who follows it ends it (qemuDomainObjRestoreAsyncJob). */
  restore(saved: SavedJob): AsyncJob {
    this.#async = this.#newJob(saved, true)
    this.#onChange()
    return this.#async
  }

  /** The guest is gone: who waits for its hypervisor within the async job is told. */
  guestGone(): void {
    this.#async?.guestGone()
  }

  async #runWith<T>({ async, end }: Taken, work: (job: AsyncJob) => Promise<T> | T): Promise<T> {
    try {
      const result = await work(async!)
      end()
      return result
    } catch (error) {
      end(error)
      throw error
    }
  }

  #newJob(saved: SavedJob, isRestored: boolean): AsyncJob {
    const owner = {
      nested: async <T>(within: AsyncJob, work: () => Promise<T> | T) => {
        const taken = await this.#acquire({ job: 'modify', owner: { api: within.api }, within })
        return this.#runWith(taken, work)
      },
      changed: () => {
        if (this.saved) this.#onChange()
        this.#startNext()
      },
      ended: (job: AsyncJob) => {
        if (this.#async !== job) return
        const wasSaved = this.saved !== undefined
        this.#async = undefined
        if (wasSaved) this.#onChange()
        this.#startNext()
      }
    }
    return new AsyncJob(owner, saved, isRestored)
  }

  /** Begins at once, or when those are over it may not run beside. @returns how it ends */
  #acquire(wanted: Wanted): Promise<Taken> {
    const { api, signal } = wanted.owner
    const aborted = () => fail('VIR_ERR_OPERATION_ABORTED', `${api} was cancelled while waiting`)
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(aborted())
      if (this.#mayBegin(wanted)) return resolve(this.#begin(wanted))
      const waiting = {
        wanted,
        start: () => {
          settle()
          resolve(this.#begin(wanted))
        }
      }
      const leave = (error: Error) => {
        settle()
        reject(error)
      }
      const onAbort = () => leave(aborted())
      const timer = setTimeout(() => leave(this.#late(wanted)), this.#waitMs)
      const settle = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
        this.#waiting.delete(waiting)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiting.add(waiting)
    })
  }

  /** virDomainNestedJobAllowed and virDomainObjCanSetJob */
  #mayBegin({ job, within }: Wanted): boolean {
    if (typeof job === 'object') return 'agent' in job ? !this.#agent : !this.#async && this.#held.size === 0
    return this.#isBeside(job, within) && (job === 'destroy' || this.#held.size === 0)
  }

  #isBeside(job: JobKind, within: AsyncJob | undefined): boolean {
    return within !== undefined || !this.#async || this.#async.allows(job)
  }

  /** Takes a job that may begin now; no other can come between. */
  #begin({ job, owner: { api, flags } }: Wanted): Taken {
    const sinceMs = Date.now()
    if (typeof job === 'object' && 'async' in job) {
      const async = this.#newJob({ kind: job.async, api, flags, sinceMs }, false)
      this.#async = async
      if (this.saved) this.#onChange()
      return {
        async,
        end: error => {
          if (!async.isReleased) async.end(error)
        }
      }
    }
    const isAgent = typeof job === 'object'
    const held: HeldJob = { kind: isAgent ? 'agent' : job, api, sinceMs }
    if (isAgent) this.#agent = held
    else this.#held.add(held)
    return {
      end: () => {
        if (isAgent) this.#agent = undefined
        else this.#held.delete(held)
        this.#startNext()
      }
    }
  }

  /** Starts those that may begin now, in the order in which they came. */
  #startNext(): void {
    for (const { wanted, start } of [...this.#waiting]) if (this.#mayBegin(wanted)) start()
  }

  /** Waited too long: who holds what was wanted (virDomainObjBeginJobInternal). */
  #late({ job, within }: Wanted): Error {
    const isBeside = typeof job === 'object' || this.#isBeside(job, within)
    const monitor = (isBeside ? this.active : undefined) ?? this.#async
    const agent = typeof job === 'object' && 'agent' in job
    const by = agent ? this.#agent && `agent=${this.#agent.api}` : monitor && `monitor=${monitor.api}`
    return failJob('VIR_ERR_OPERATION_TIMEOUT', `cannot acquire state change lock${by ? ` (held by ${by})` : ''}`)
  }
}
