// Time that passes when a test says so: limits can be tried without waiting for them.
import type { Teardown } from './stand-in-qemu.ts'

/** Timers this long are limits; shorter ones are for polling, and go on by themselves. */
const LIMIT_MS = 500

interface Limit {
  dueMs: number
  fire(): void
}

/** From its making to the end of the test, the clocks and the global timers of half a second and more. */
export class Clock {
  #aheadMs = 0
  #limits = new Set<Limit>()
  readonly #realNow = Date.now
  readonly #realMonotonic = performance.now.bind(performance)

  constructor(t: Teardown) {
    const { setTimeout: realSet, clearTimeout: realClear } = globalThis
    Date.now = () => this.#realNow() + this.#aheadMs
    performance.now = () => this.#realMonotonic() + this.#aheadMs
    const set = (fire: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) => {
      if (ms < LIMIT_MS) return realSet(fire, ms, ...args)
      const limit = { dueMs: Date.now() + ms, fire: () => fire(...args), ref: () => limit, unref: () => limit }
      this.#limits.add(limit)
      return limit
    }
    globalThis.setTimeout = set as unknown as typeof setTimeout
    globalThis.clearTimeout = ((timer: unknown) => {
      if (!this.#limits.delete(timer as Limit)) realClear(timer as NodeJS.Timeout)
    }) as typeof clearTimeout
    t.teardown(() => {
      Date.now = this.#realNow
      performance.now = this.#realMonotonic
      Object.assign(globalThis, { setTimeout: realSet, clearTimeout: realClear })
    })
  }

  /** Lets time pass; what is due by then comes to be, earliest first. */
  pass(ms: number): void {
    this.#aheadMs += ms
    const due = [...this.#limits].filter(({ dueMs }) => dueMs <= Date.now()).sort((a, b) => a.dueMs - b.dueMs)
    for (const limit of due) if (this.#limits.delete(limit)) limit.fire()
  }

  /** Lets time pass until the limit that somebody has, or is about to have, and that comes first. */
  async comes(): Promise<void> {
    while (this.#limits.size === 0) await new Promise(resolve => setImmediate(resolve))
    this.pass(Math.min(...[...this.#limits].map(({ dueMs }) => dueMs)) - Date.now())
  }
}
