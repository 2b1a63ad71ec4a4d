// One job at a time on a guest, as in libvirt: calls that change something queue here, with a limit and the holder's
// name in the error. Calls that only read take no job.
import { errorsFrom } from '../conf/error.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** libvirt's job kinds (virDomainJob). */
export type JobKind = 'query' | 'destroy' | 'suspend' | 'modify'

/** libvirt's QEMU_JOB_WAIT_TIME. */
export const JOB_WAIT_MS = 30_000

/** The job of one guest. Invariant: at most one holder; waiting calls start in order. */
export class JobQueue {
  #holder: { api: string; sinceMs: number } | undefined
  #waiting: (() => void)[] = []
  readonly #waitMs: number

  constructor(waitMs = JOB_WAIT_MS) {
    this.#waitMs = waitMs
  }

  /** Name of the API that holds the guest. */
  get holder(): string | undefined {
    return this.#holder?.api
  }

  /**
   * Runs with the job held.
   * @throws VIR_ERR_OPERATION_TIMEOUT naming the holder, VIR_ERR_OPERATION_ABORTED when the signal fires while waiting
   */
  async run<T>(api: string, work: () => Promise<T> | T, signal?: AbortSignal): Promise<T> {
    await this.#acquire(api, signal)
    try {
      return await work()
    } finally {
      this.#holder = undefined
      this.#waiting.shift()?.()
    }
  }

  async #acquire(api: string, signal?: AbortSignal): Promise<void> {
    const hold = () => {
      this.#holder = { api, sinceMs: Date.now() }
    }
    if (!this.#holder) return hold()
    await new Promise<void>((resolve, reject) => {
      const start = () => {
        settle()
        hold()
        resolve()
      }
      const leave = (error: Error) => {
        this.#waiting = this.#waiting.filter(other => other !== start)
        settle()
        reject(error)
      }
      const aborted = () => leave(fail('VIR_ERR_OPERATION_ABORTED', `${api} was cancelled while waiting`))
      const timer = setTimeout(() => {
        const held = this.#holder
        const seconds = held ? Math.round((Date.now() - held.sinceMs) / 1000) : 0
        const by = `held by ${held?.api ?? 'nobody'} for ${seconds}s`
        leave(fail('VIR_ERR_OPERATION_TIMEOUT', `cannot acquire state change lock (${by})`))
      }, this.#waitMs)
      const settle = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', aborted)
      }
      signal?.addEventListener('abort', aborted, { once: true })
      this.#waiting.push(start)
    })
  }
}
