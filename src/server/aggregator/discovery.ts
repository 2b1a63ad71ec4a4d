// Finds the places where guests are: the guests directory, patterns to watch, sockets we were told of.
import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorsFrom } from '../../conf/error.ts'
import type { Log } from '../../drivers/qemu/domain/domain.ts'
import { guestRoot } from '../../state/root.ts'
import { makePrivateDirectory, readIfThere, writeAtomic } from '../../state/store.ts'
import { glob, globBase } from './glob.ts'
import { guestNames, type Layout } from './layout.ts'
import { Place } from './place.ts'
import type { KnownGuest, Registry } from './registry.ts'
import { looksLikeShim } from './socket-id.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Interval of scans for changes the kernel gives no notice of: on network file systems, in deep patterns. */
const RESCAN_MS = 5000
/** The guests directory, which the kernel does watch, is read at each of these only where there are few guests. */
const RESCANNED_GUESTS = 1000
/** Time the first look at all places may take before we serve those found. */
const SETTLE_LIMIT_MS = 3000
/** Changes within this time are looked at together. */
const GATHER_MS = 10
/** Polls a second of an idle host, however many guests it has, as long as they need not wait too long. */
const POLLS_PER_SECOND = 100
const WAIT_MIN_S = 10
const WAIT_MAX_S = 60

/** Sockets others may tell us of. */
const TOLD_MAX = 4096

export class Discovery {
  readonly #registry: Registry
  readonly #layout: Layout
  readonly #patterns: string[]
  readonly #log: Log
  readonly #places = new Map<string, Place>()
  /** sockets we were told of, kept in a file */
  readonly #told = new Set<string>()
  readonly #watchers = new Map<string, FSWatcher>()
  /** until the guests directory is read again */
  #rescansLeft = 0
  #timer: NodeJS.Timeout | undefined
  #gathering: NodeJS.Timeout | undefined
  #changed = new Set<string>()

  constructor(registry: Registry, layout: Layout, patterns: string[], log: Log) {
    this.#registry = registry
    this.#layout = layout
    this.#patterns = patterns
    this.#log = log
  }

  /** Begins; settles when each place that is there has been looked at, or after a while. */
  async start(): Promise<void> {
    makePrivateDirectory(this.#layout.guestsDir)
    for (const socket of readTold(this.#toldFile)) this.#told.add(socket)
    this.#rescan({ all: true })
    const places = [...this.#places.values()]
    const limit = new AbortController()
    await Promise.race([
      Promise.all(places.map(({ settled }) => settled)),
      sleep(SETTLE_LIMIT_MS, undefined, { signal: limit.signal }).catch(() => undefined)
    ])
    limit.abort()
  }

  close(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#gathering)
    for (const watcher of this.#watchers.values()) watcher.close()
    for (const place of this.#places.values()) place.close()
  }

  /** Looks at once for what is called so in the guests directory. */
  look(name: string): void {
    this.#own(name)
  }

  /** Asks the shim of the guest of that uuid what is so now; the registry has it when this settles. */
  async refresh(uuid: string): Promise<void> {
    await this.#places.get(this.#registry.byUuid(uuid)?.place ?? '')?.refresh()
  }

  /** The same of a place in the guests directory that may not have been noticed yet. @returns as Place.refresh */
  refreshAt(place: string): Promise<boolean> {
    return this.#own(basename(place)).refresh()
  }

  /**
   * Takes a shim in by its API socket, and remembers it.
   * @throws VIR_ERR_OPERATION_FAILED when none answers there
   */
  async add(socket: string): Promise<KnownGuest> {
    const path = resolve(socket)
    const place = this.#ownPlaceOf(path) ?? this.#outside(path)
    place.look()
    await place.settled
    const guest = this.#registry.at(place.key)
    if (!guest || guest.unreachableSince !== undefined) {
      if (!guest && !place.owned) this.#forget(place)
      throw fail('VIR_ERR_OPERATION_FAILED', `no shim answers at '${socket}'`)
    }
    if (!place.owned && !this.#told.has(path)) {
      this.#told.add(path)
      this.#saveTold()
    }
    return guest
  }

  /**
   * The same for who may not be trusted: what is there is looked at first, and nothing is told of it.
   * @param body `{"socket": PATH}`
   * @throws VIR_ERR_INVALID_ARG, VIR_ERR_OPERATION_FAILED
   */
  async addTold(body: unknown): Promise<Record<string, never>> {
    const { socket } = Object(body) as { socket?: unknown }
    if (typeof socket !== 'string') throw fail('VIR_ERR_INVALID_ARG', "'socket' must be the path of a socket")
    if (!looksLikeShim(resolve(socket))) throw fail('VIR_ERR_OPERATION_FAILED', `no shim answers at '${socket}'`)
    if (this.#told.size >= TOLD_MAX) throw fail('VIR_ERR_OPERATION_FAILED', 'too many shims are known by word')
    await this.add(socket)
    return {}
  }

  get #toldFile(): string {
    return join(this.#layout.root.dir, 'reconnected.json')
  }

  #saveTold(): void {
    writeAtomic(this.#toldFile, `${JSON.stringify([...this.#told], null, 2)}\n`)
  }

  #waitS = (): number => Math.min(WAIT_MAX_S, Math.max(WAIT_MIN_S, Math.ceil(this.#places.size / POLLS_PER_SECOND)))

  #ownPlaceOf(socket: string): Place | undefined {
    const dir = dirname(socket)
    if (dirname(dir) !== this.#layout.guestsDir) return undefined
    return this.#own(dir.slice(this.#layout.guestsDir.length + 1))
  }

  #keyOf(name: string): string {
    return join(this.#layout.guestsDir, name)
  }

  /** The place of a guest in the guests directory; looked at again if it is known. */
  #own(name: string): Place {
    const key = this.#keyOf(name)
    const known = this.#places.get(key)
    if (known) {
      known.look()
      return known
    }
    return this.#open(new Place({ ...this.#common, key, root: this.#layout.guest(name), owned: true }))
  }

  #outside(socket: string): Place {
    const known = this.#places.get(socket)
    if (known) return known
    const root = { ...guestRoot(dirname(socket)), apiSocket: socket }
    return this.#open(new Place({ ...this.#common, key: socket, root, owned: false }))
  }

  get #common() {
    return { registry: this.#registry, log: this.#log, waitS: this.#waitS }
  }

  #open(place: Place): Place {
    this.#places.set(place.key, place)
    return place
  }

  #forget(place: Place): void {
    place.close()
    this.#places.delete(place.key)
  }

  /** Finds guests that are new in the guests directory, and those that have gone from it. */
  #rescanGuests(): void {
    const dirs = new Set<string>()
    for (const name of guestNames(this.#layout)) dirs.add(this.#own(name).key)
    for (const place of this.#places.values()) if (place.owned && !dirs.has(place.key)) this.#forget(place)
    this.#rescansLeft = Math.floor(dirs.size / RESCANNED_GUESTS)
  }

  #rescan({ all }: { all: boolean }): void {
    clearTimeout(this.#timer)
    const { guestsDir, definitionsDir } = this.#layout
    this.#watch(guestsDir)
    if (definitionsDir !== undefined) this.#watch(definitionsDir)
    if (all || --this.#rescansLeft < 0) this.#rescanGuests()
    const sockets = new Set(this.#told)
    for (const pattern of this.#patterns) {
      this.#watch(globBase(pattern))
      for (const path of glob(pattern)) if (dirname(dirname(path)) !== guestsDir) sockets.add(path)
    }
    for (const socket of sockets) this.#outside(socket)
    for (const place of this.#places.values()) {
      if (place.owned || place.isKnown) continue
      this.#forget(place)
      if (this.#told.delete(place.key)) this.#saveTold()
    }
    this.#timer = setTimeout(() => this.#rescan({ all: false }), RESCAN_MS)
  }

  /** Hears of new names in a directory. */
  #watch(directory: string): void {
    if (this.#watchers.has(directory)) return
    try {
      const watcher = watch(directory, (_event, file) => this.#gather(directory, file))
      const over = () => {
        watcher.close()
        this.#watchers.delete(directory)
      }
      watcher.on('error', over)
      this.#watchers.set(directory, watcher)
    } catch (error) {
      this.#log.debug({ directory, err: error }, 'cannot watch a directory')
    }
  }

  #gather(directory: string, file: string | null): void {
    this.#changed.add(directory === this.#layout.guestsDir && file !== null ? file : '')
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined
      const changed = this.#changed
      this.#changed = new Set()
      if (changed.has('')) return this.#rescan({ all: true })
      const names = guestNames(this.#layout)
      for (const name of changed) {
        if (names.has(name)) this.#own(name)
        else {
          const gone = this.#places.get(this.#keyOf(name))
          if (gone) this.#forget(gone)
        }
      }
    }, GATHER_MS)
  }
}

function readTold(file: string): string[] {
  try {
    const value: unknown = JSON.parse(readIfThere(file) ?? '[]')
    return Array.isArray(value) ? value.filter(path => typeof path === 'string') : []
  } catch {
    return []
  }
}
