// Shims that have died and left something are followed by others: a guest that still runs is taken over, what a dead one
// left on the host is removed. And what is to run when the host has booted is started, once.
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../drivers/qemu/domain/domain.ts'
import { bootId } from '../../state/status.ts'
import { readIfThere, removeSynced, writeAtomic } from '../../state/store.ts'
import { type Guests, restoreMs } from './guests.ts'
import { guestNames, type Layout } from './layout.ts'
import { listens } from './reach.ts'
import type { KnownGuest, Registry } from './registry.ts'
import { type ShimPlace, shimPlace } from './shims.ts'

/** The first follower comes at once; one that dies soon again is followed later and later. */
const RETRY_FIRST_MS = 100
const RETRY_MAX_MS = 30_000
/** A shim that has lived so long is no sign of more trouble to come. */
const SOUND_MS = 10_000
/** Interval of looks at processes nobody told us of: shims that were killed before they could be seen. */
const SWEEP_MS = 15_000

interface Trouble {
  /** ms until the next follower, if the last one dies soon */
  retryMs: number
  startedMs: number
  pending: boolean
}

export interface SupervisorOptions {
  layout: Layout
  registry: Registry
  guests: Guests
  log: Log
}

export class Supervisor {
  readonly #layout: Layout
  readonly #registry: Registry
  readonly #guests: Guests
  readonly #log: Log
  readonly #troubles = new Map<string, Trouble>()
  readonly #ending = new AbortController()
  #sweep: NodeJS.Timeout | undefined

  constructor({ layout, registry, guests, log }: SupervisorOptions) {
    this.#layout = layout
    this.#registry = registry
    this.#guests = guests
    this.#log = log
  }

  /** Begins. What is left of an earlier life is looked for at once. */
  start(): void {
    this.#registry.on('guest', this.#seen)
    this.#registry.on('gone', this.#seen)
    this.#guests.onFailure = place => this.#suspect(place)
    this.#look()
    this.#sweep = setInterval(() => this.#look(), SWEEP_MS)
    void this.#autostart()
  }

  close(): void {
    this.#ending.abort()
    clearInterval(this.#sweep)
    this.#registry.off('guest', this.#seen)
    this.#registry.off('gone', this.#seen)
  }

  #seen = (guest: KnownGuest): void => {
    if (guest.socket === undefined || guest.unreachableSince !== undefined || !this.#registry.at(guest.place)) {
      this.#suspect(guest.place)
    }
  }

  #look(): void {
    for (const name of guestNames(this.#layout)) {
      const place = join(this.#layout.guestsDir, name)
      const guest = this.#registry.at(place)
      if (guest?.socket === undefined || guest.unreachableSince !== undefined) this.#suspect(place)
    }
  }

  /** A status without a shim is what a shim that died has left. */
  #suspect(place: string): void {
    if (!this.#guests.isOwn(place) || this.#ending.signal.aborted) return
    const where = shimPlace(this.#layout, place)
    if (!existsSync(where.root.status)) return
    const known = this.#troubles.get(place)
    if (known?.pending) return
    const trouble = known ?? { retryMs: 0, startedMs: 0, pending: false }
    if (Date.now() - trouble.startedMs > trouble.retryMs + SOUND_MS) trouble.retryMs = 0
    trouble.pending = true
    this.#troubles.set(place, trouble)
    void this.#follow(where, trouble).finally(() => {
      trouble.pending = false
    })
  }

  async #follow(where: ShimPlace, trouble: Trouble): Promise<void> {
    const { root, place } = where
    if (!(await this.#sleeps(trouble.retryMs))) return
    // it may only be slow, or on its way out or back
    if (!existsSync(root.status) || (await listens(root.apiSocket))) return
    trouble.startedMs = Date.now()
    trouble.retryMs = Math.min(Math.max(trouble.retryMs * 2, RETRY_FIRST_MS), RETRY_MAX_MS)
    this.#log.info({ place }, 'a shim has died, starting another')
    try {
      const { state } = await this.#guests.wake(where)
      this.#log.info({ place, state }, 'what a dead shim left is taken care of')
      if (state === 'ended') this.#troubles.delete(place)
    } catch (error) {
      if (this.#ending.signal.aborted) return
      this.#log.warn({ place, err: error }, 'a shim that died cannot be followed')
      setTimeout(() => this.#suspect(place), trouble.retryMs).unref()
    }
  }

  /** False when we are to end. */
  async #sleeps(ms: number): Promise<boolean> {
    await sleep(ms, undefined, { signal: this.#ending.signal }).catch(() => undefined)
    return !this.#ending.signal.aborted
  }

  /**
   * Starts the guests that are to run with the host, once a boot (virDriverShouldAutostart); those of this boot alone
   * are no longer to be started with the next.
   */
  async #autostart(): Promise<void> {
    const file = join(this.#layout.root.dir, 'autostarted')
    const boot = bootId()
    if (readIfThere(file) === boot) return
    const waiting = [...this.#registry.guests()].flatMap(({ place, socket, report: { name, autostart } }) => {
      if (!this.#guests.isOwn(place)) return []
      const shim = shimPlace(this.#layout, place)
      const once = existsSync(shim.root.autostartOnce)
      return once || autostart ? [{ name, shim, once, starts: socket === undefined }] : []
    })
    const work = async () => {
      for (let guest = waiting.shift(); guest && !this.#ending.signal.aborted; guest = waiting.shift()) {
        const { name, shim, once, starts } = guest
        if (starts) await this.#startWithHost(name, shim)
        if (once) removeSynced(shim.root.autostartOnce)
      }
    }
    await Promise.all(Array.from({ length: availableParallelism() }, work))
    if (!this.#ending.signal.aborted) writeAtomic(file, boot)
  }

  async #startWithHost(name: string, shim: ShimPlace): Promise<void> {
    try {
      const { managedSave } = shim.root
      await this.#guests.start(shim, [], undefined, undefined, restoreMs(managedSave))
      this.#log.info({ name }, 'started with the host')
    } catch (error) {
      this.#log.error({ name, err: error }, 'could not be started with the host')
    }
  }
}
