// Jobs of QEMU's on the disks of a running guest: registered before QEMU is told, followed through its events, acted upon
// once they are over (qemu_blockjob.c). A job outlives the call that began it, and the process.
//
//     new ──► running ──► ready ──► pivoting ──┐
//                │          └─────► aborting ──┤
//                └─────────────────────────────┴──► completed, failed, cancelled ──► definitions follow ──► gone
//
// The end of a job is saved before the job is dismissed in QEMU, and stays until the definitions have followed: at any
// moment the next process can go on. A pivot that cannot be told any more is seen by the image the disk is on. With QEMU
// gone as well, it is known by what was saved before QEMU was told to finish it: QEMU waits for that word with both images
// the same, and holds what the guest writes as long.
import { formatDevice } from '../../../conf/device-xml.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { virConnectDomainEventBlockJobStatus, virDomainBlockJobType } from '../../../conf/enums.ts'
import { errorsFrom, toVirError } from '../../../conf/error.ts'
import { isLocalStorage, isStorageEmpty } from '../../../conf/storage/source.ts'
import type { HypervisorJob } from '../../../state/job.ts'
import { diskSourcePath } from '../device/disk/lookup.ts'
import { type BlockJob, checkUnassigned, isOver, type Outcome } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Run } from '../domain/run.ts'
import { isRefusal } from '../process/monitor.ts'
import { type ConfigChange, followed } from './chain.ts'
import { removeLoose } from './loose-images.ts'
import { findQemuJob, lostGuest } from './qemu-job.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const TYPE = virDomainBlockJobType
const STATUS = virConnectDomainEventBlockJobStatus

/** virDomainBlockJobType of a kind. */
export const TYPES: Record<BlockJob['kind'], number> = {
  pull: TYPE.VIR_DOMAIN_BLOCK_JOB_TYPE_PULL,
  copy: TYPE.VIR_DOMAIN_BLOCK_JOB_TYPE_COPY,
  commit: TYPE.VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT,
  'active-commit': TYPE.VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT,
  backup: TYPE.VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP,
  migration: TYPE.VIR_DOMAIN_BLOCK_JOB_TYPE_COPY
}

const OUTCOMES: Record<Outcome, number> = {
  completed: STATUS.VIR_DOMAIN_BLOCK_JOB_COMPLETED,
  failed: STATUS.VIR_DOMAIN_BLOCK_JOB_FAILED,
  cancelled: STATUS.VIR_DOMAIN_BLOCK_JOB_CANCELED
}

/** The end of a job. */
export interface JobEnd {
  outcome: Outcome
  /** in QEMU's words */
  error?: string | undefined
}

/** The part of a job's end that its kind has for itself. */
export interface JobEnds {
  /** asks QEMU how it ended, where its words are not all; @returns undefined to go by them */
  outcome?(domain: QemuDomain, job: BlockJob, disk: DiskDef): Promise<Outcome | undefined>
  /** of a job that QEMU forgets by itself: asks it how that ended, where it was not heard to say so */
  gone?(domain: QemuDomain, job: BlockJob, disk: DiskDef): Promise<Outcome>
  /** does what is to be done before QEMU ends a job that waits for its last word, which is given then; a failure is logged */
  pending?(domain: QemuDomain, job: BlockJob, disk: DiskDef): Promise<void>
  /** of a job that ends with a pivot: what the persistent definition becomes of it. QEMU waits to be told to finish those */
  pivot?(job: BlockJob, disk: DiskDef): ConfigChange | undefined
  /** has QEMU do what must be done while it still has all images; a failure is logged */
  before?(domain: QemuDomain, job: BlockJob, disk: DiskDef, outcome: Outcome): Promise<void>
  /**
   * changes the definitions and notes the images that go, without waiting for anything; run again after a kill. The
   * persistent one comes first: the status is saved along with it, and must still be that of a job to be settled
   * @returns the numbers of what is to be taken away
   */
  settle(domain: QemuDomain, job: BlockJob, disk: DiskDef, outcome: Outcome): number[]
  /** hears that there is news, or another state: of many jobs, who holds the guest waits for any */
  heard?(): void
}

/** QEMU's error of a job that was given up. */
const CANCELLED = 'Operation canceled'

const watches = new WeakMap<BlockJob, BlockJobWatch>()

/** Who follows a job. */
export const watchOf = (job: BlockJob): BlockJobWatch | undefined => watches.get(job)

/**
 * Registers a job, which is saved, and follows it.
 * @throws VIR_ERR_INTERNAL_ERROR where the disk has one
 */
export function registerBlockJob(domain: QemuDomain, job: BlockJob, ends: JobEnds): BlockJobWatch {
  checkUnassigned(domain, job.disk)
  domain.running.blockJobs.set(job.name, job)
  const watch = new BlockJobWatch(domain, job, ends)
  domain.changed()
  return watch
}

/** One job and who follows it. Invariant: it is in its run's table exactly until `ended` settles. */
export class BlockJobWatch implements HypervisorJob {
  readonly job: BlockJob
  /** settles when the definitions have followed; rejects when the guest is gone */
  readonly ended: Promise<JobEnd>
  readonly #domain: QemuDomain
  readonly #run: Run
  readonly #ends: JobEnds
  #news: 'ready' | 'pending' | 'concluded' | undefined
  #isHeld = false
  #isUnderWay = false
  #isTold = false
  #end: JobEnd | undefined
  #taking: Promise<void> | undefined
  #wake = () => {}
  #settle: (end: JobEnd) => void = () => {}

  constructor(domain: QemuDomain, job: BlockJob, ends: JobEnds) {
    this.#domain = domain
    this.#run = domain.running
    this.job = job
    this.#ends = ends
    this.ended = new Promise((resolve, reject) => {
      this.#settle = resolve
      this.#run.ended.then(() => reject(fail('VIR_ERR_OPERATION_FAILED', 'domain is not running')))
    })
    this.ended.catch(() => undefined)
    domain.jobs.qemuJobs.set(job.name, this)
    watches.set(job, this)
  }

  /** Takes QEMU's word; acted upon when the guest is free, or by who holds it. */
  tell(event: string, { status, error }: Record<string, unknown>): void {
    if (event === 'BLOCK_JOB_COMPLETED' || event === 'BLOCK_JOB_CANCELLED') {
      this.#isTold = true
      if (typeof error === 'string') this.job.error = error
      // one that QEMU forgets by itself is not asked for its error
      else if (event === 'BLOCK_JOB_CANCELLED' && this.#ends.gone) this.job.error = CANCELLED
    }
    if (event !== 'JOB_STATUS_CHANGE') return
    if (status !== 'ready' && status !== 'pending' && status !== 'concluded') return
    // at once, whoever holds the guest: others may wait for nodes that QEMU keeps for it until it is dismissed
    if (status === 'concluded') this.#concluded()
    else if (status === 'pending' && this.#ends.pivot) this.#finish()
    else this.news(status)
  }

  /** How QEMU has it, after a time in which it was not heard; undefined: it has not. */
  found(status: string | undefined): void {
    const { job } = this
    // who begins it asks as well
    if (job.state === 'new') return
    if (status === undefined) {
      if (this.#ends.gone && !this.#taking) this.#concluded()
      return
    }
    if (status === 'ready' && job.state === 'pivoting') {
      // whether QEMU has taken that up is not known: if so, the job is about to end, and the disk says how
      const { mirror } = this.#disk ?? {}
      if (mirror) mirror.ready = 'yes'
      this.enter('ready')
    }
    if (job.state === 'aborting' && status !== 'pending' && status !== 'concluded') {
      const { qmp } = this.#domain
      void qmp.execute('block-job-cancel', { device: job.name, force: false }).catch(() => undefined)
    }
    this.tell('JOB_STATUS_CHANGE', { status })
  }

  #concluded(): void {
    void this.taken()
    this.news('concluded')
  }

  news(status: 'ready' | 'pending' | 'concluded'): void {
    this.#news = status
    this.#wake()
    this.#ends.heard?.()
    this.#actLater()
  }

  /** Has QEMU finish a pivot, or giving it up, at once: the guest cannot write until then. */
  #finish(): void {
    const { job } = this
    const domain = this.#domain
    const { log } = domain
    const id = job.name
    const isLeft = (err: unknown) => log.warn({ err, job: id }, 'a block job waits to be finished')
    // the disk stays where it is, which is saved first: from then on the guest writes to that image again
    const stay = async () => {
      try {
        this.#forgetPivot()
      } catch (error) {
        isLeft(error)
      }
      await domain.qmp.execute('job-cancel', { id })
    }
    const tell = async () => {
      try {
        this.#notePivot()
      } catch (error) {
        log.error({ err: error, job: id }, 'a pivot is given up, as the definition could not follow it')
        return stay()
      }
      try {
        await domain.qmp.execute('job-finalize', { id })
      } catch (error) {
        isLeft(error)
        // one that cannot be heard is told when it is found again
        if (isRefusal(error)) await stay()
      }
    }
    tell().catch(isLeft)
  }

  /** Saves what becomes of the persistent definition. @throws VIR_ERR_SYSTEM_ERROR */
  #notePivot(): void {
    const { job } = this
    const disk = this.#disk
    if (job.state === 'aborting' || !disk) return
    const change = this.#ends.pivot!(job, disk)
    const kept = change && followed(this.#domain, disk, change)
    if (!kept) return
    job.pivoted = formatDevice(['disks', kept], { inactive: true, secure: true, status: true })
    this.#domain.changed()
  }

  #forgetPivot(): void {
    if (this.job.pivoted === undefined) return
    delete this.job.pivoted
    this.#domain.changed()
  }

  /** QEMU has begun it (qemuBlockJobStarted). */
  started(): void {
    if (this.job.state === 'new') this.job.state = 'running'
    this.#domain.changed()
  }

  /** QEMU has not begun it. */
  drop(): void {
    this.#forget()
    this.#domain.changed()
  }

  enter(state: BlockJob['state']): void {
    this.job.state = state
    if (state === 'failed' || state === 'cancelled') delete this.job.pivoted
    this.#domain.changed()
    this.#ends.heard?.()
  }

  /** QEMU has told what was not yet acted upon. */
  get hasNews(): boolean {
    return this.#news !== undefined
  }

  /** The definitions have followed: nothing is left of it. */
  get hasEnded(): boolean {
    return this.#end !== undefined
  }

  /** The caller holds the guest and acts upon what comes of the job, until it releases it (qemuBlockJobSyncBegin). */
  hold(): void {
    this.#isHeld = true
  }

  release(): void {
    this.#isHeld = false
    this.#actLater()
  }

  /**
   * Settles once `isThere` says so, or the job is over; for who holds the guest.
   * @throws VIR_ERR_OPERATION_FAILED when the guest is gone
   */
  async until(isThere: (job: BlockJob) => boolean): Promise<JobEnd | undefined> {
    const { lost, stop } = lostGuest(this.#domain)
    try {
      while (!this.#end && !isThere(this.job)) {
        if (!this.#news) {
          const woken = new Promise<void>(resolve => {
            this.#wake = resolve
          })
          await Promise.race([woken, lost])
        }
        await this.#act()
      }
      return this.#end
    } finally {
      stop()
    }
  }

  /** Settles with the job's end; for who holds the guest. @throws as `until` */
  async finish(): Promise<JobEnd> {
    return (await this.until(() => false))!
  }

  /** Acts upon what has come; for who holds the guest. */
  async catchUp(): Promise<void> {
    while (this.#news) await this.#act()
  }

  /** Has clients hear that it is ready, if QEMU says so within that time; for who holds the guest. */
  async tellReady(waitMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    if (!this.#news) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
        timer = setTimeout(resolve, waitMs)
      })
    }
    clearTimeout(timer)
    if (this.#news === 'ready') await this.#act()
  }

  /** Waits for the guest, however long others hold it. */
  #actLater(): void {
    if (this.#isHeld || this.#isUnderWay || !this.#news) return
    this.#isUnderWay = true
    const { jobs, log } = this.#domain
    const work = async () => {
      while (this.#news && !this.#isHeld && this.#domain.run === this.#run) {
        try {
          await jobs.run('modify', { api: 'block job' }, () => this.#act())
        } catch (error) {
          if (toVirError(error).code !== 'VIR_ERR_OPERATION_TIMEOUT') throw error
        }
      }
    }
    work()
      .catch(error => log.error({ err: error, job: this.job.name }, 'a block job could not be followed'))
      .finally(() => {
        this.#isUnderWay = false
      })
  }

  /** Acts upon the last news (qemuBlockJobEventProcess). */
  async #act(): Promise<void> {
    const news = this.#news
    this.#news = undefined
    const { job } = this
    const disk = this.#disk
    const isFresh = job.state === 'new' || job.state === 'running'
    if (news === 'concluded') await this.#surelyConclude()
    else if (news === 'pending' && isFresh) await this.#pend(disk)
    else if (news === 'ready' && isFresh) {
      if (disk?.mirror) disk.mirror.ready = 'yes'
      this.enter('ready')
      if (disk) this.#emit(disk, STATUS.VIR_DOMAIN_BLOCK_JOB_READY)
    }
  }

  /** The job is through, and waits for its last word: for who began it, if it has none of its own. */
  async #pend(disk: DiskDef | undefined): Promise<void> {
    const { job } = this
    const { qmp, log } = this.#domain
    const { pending } = this.#ends
    if (!pending) return this.enter('pending')
    if (disk) {
      await pending(this.#domain, job, disk).catch(error => {
        log.warn({ err: error, job: job.name }, 'what a block job has written may not be on disk at its end')
      })
    }
    await qmp.execute('job-finalize', { id: job.name })
  }

  /** QEMU may be too busy to be asked; what is over all the same is acted upon by whoever holds the guest next. */
  async #surelyConclude(): Promise<void> {
    try {
      await this.#conclude().catch(() => this.#conclude())
    } catch (error) {
      this.#news ??= 'concluded'
      throw error
    }
  }

  get #disk(): DiskDef | undefined {
    return this.#domain.def.devices.disks.find(({ target }) => target?.dev === this.job.disk)
  }

  /** The job is over: definitions first, then QEMU (qemuBlockJobEventProcessConcluded). */
  async #conclude(): Promise<void> {
    const { job } = this
    const domain = this.#domain
    const { log } = domain
    const disk = this.#disk
    await this.taken()
    // of those that say so by the image the disk is on
    if (!isOver(job)) {
      const ask = this.#ends.outcome ?? this.#ends.gone
      this.enter((disk && (await ask?.(domain, job, disk))) ?? this.#told)
    }
    const outcome = job.state as Outcome
    if (disk) {
      await this.#ends.before?.(domain, job, disk, outcome).catch(error => {
        log.warn({ err: error, job: job.name }, 'a block job has not left all as it should')
      })
    }
    const going = disk ? this.#ends.settle(domain, job, disk, outcome) : []
    this.#forget()
    domain.changed()
    for (const index of going) await removeLoose(domain, index)
    if (disk) this.#emit(disk, OUTCOMES[outcome])
    this.#end = { outcome, error: job.error }
    this.#settle(this.#end)
  }

  /** The outcome by QEMU's word alone. */
  get #told(): Outcome {
    const { state, error } = this.job
    // it may have been through before it could be given up
    if (this.#ends.gone && this.#isTold && error === undefined) return 'completed'
    if (state === 'aborting') return 'cancelled'
    return error === undefined ? 'completed' : 'failed'
  }

  /** Saves how it ended and has QEMU forget it, once. */
  taken(): Promise<void> {
    this.#taking ??= this.#take().catch(error => {
      // QEMU could not be asked: it is when its monitor is found again
      this.#taking = undefined
      throw error
    })
    this.#taking.catch(() => undefined)
    return this.#taking
  }

  async #take(): Promise<void> {
    const { job } = this
    const { qmp, log } = this.#domain
    const { gone, outcome } = this.#ends
    const found = gone || !isOver(job) ? await findQemuJob(qmp, job.name) : undefined
    if (!isOver(job)) {
      if (found?.error !== undefined) job.error = found.error
      const isKnown = gone ? found !== undefined || this.#isTold : !outcome
      if (job.error !== undefined || isKnown) this.enter(this.#told)
    }
    if (gone && !found) return
    await qmp.execute('job-dismiss', { id: job.name }).catch(error => {
      log.warn({ err: error, job: job.name }, 'a block job stays in QEMU')
    })
  }

  #forget(): void {
    this.#run.blockJobs.delete(this.job.name)
    this.#domain.jobs.qemuJobs.delete(this.job.name)
  }

  /** The older event is of local images alone (qemuBlockJobEmitEvents). */
  #emit(disk: DiskDef, status: number): void {
    const { events } = this.#domain
    const type = TYPES[this.job.kind]
    const path = isLocalStorage(disk.source) && !isStorageEmpty(disk.source) ? diskSourcePath(disk) : undefined
    if (path !== undefined) events.emit('VIR_DOMAIN_EVENT_ID_BLOCK_JOB', { path, type, status })
    events.emit('VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2', { dst: this.job.disk, type, status })
  }
}
