// The ledger of the host: the resources shims report, and those granted to guests that have not reported yet.
//
// A holding is one guest's list, under an id of its own (a report's place, a claim). Two holdings of one guest never
// conflict: its report takes over what its claim was granted. Nothing in here reads a file or a clock.
import type { Allocation } from '../../state/allocation.ts'
import {
  type AutomaticResource,
  type Claimant,
  type Conflict,
  isAutomatic,
  type Namespaces
} from '../../state/claim.ts'

/** A guest as it speaks of itself, and as it is seen from here. */
export interface Holder extends Claimant {
  /** device and inode of its shim's socket, or the path that is to have one; absent: we have only its word */
  place?: string
  /** it lies in our guests directory */
  isOwn?: boolean
}

export interface Holding {
  readonly id: string
  readonly guest: Holder
  readonly resources: readonly Allocation[]
}

/** A resource that several guests have although one of them must have it alone. */
export interface Overlap {
  kind: string
  key: string
  path?: string
  holders: { name: string; uuid: string; socket: string; mode: 'exclusive' | 'shared' }[]
}

/** Kinds that mean something else in each namespace of this type: port 5900 of two pods is two ports. */
const NAMESPACE_OF: ReadonlyMap<string, keyof Namespaces> = new Map([
  ['tcp-port', 'net'],
  ['tap', 'net'],
  ['cgroup', 'cgroup']
])

/** Kinds whose values are not given to another guest soon after: an id stands for one run of a guest. */
const ASCENDING = new Set(['domain-id'])

/** Names of guests: one of ours has its own whatever others call themselves. */
const NAMES: ReadonlySet<string> = new Set(['name', 'uuid'])

/** The same shim, whatever it is asked about: its place. Its own words count only as long as no place is known. */
export const ownerOf = ({ place, uuid, socket, namespaces }: Holder) =>
  place === undefined ? `said ${uuid} ${namespaces?.mnt ?? ''} ${socket}` : `at ${place}`

export class Ledger {
  readonly #own: Namespaces
  readonly #holdings = new Map<string, Holding>()
  readonly #exclusive = new PlaceIndex()
  readonly #shared = new PlaceIndex()
  readonly #used = new Map<string, number>()
  /** the highest value given, of ascending kinds */
  readonly #highest = new Map<string, number>()

  /** @param own our namespaces: what lies in them needs no name */
  constructor(own: Namespaces = {}) {
    this.#own = own
  }

  get(id: string): Holding | undefined {
    return this.#holdings.get(id)
  }

  all(): IterableIterator<Holding> {
    return this.#holdings.values()
  }

  /** Sets what is held under an id, in place of what was. */
  put(holding: Holding): void {
    this.remove(holding.id)
    this.#holdings.set(holding.id, holding)
    for (const resource of holding.resources) {
      const { kind, key, amount, mode } = resource
      if (amount !== undefined) this.#use(poolOf(resource), amount)
      else if (key !== undefined) this.#index(mode).add(this.#place(kind, key, holding.guest), holding)
      if (key !== undefined && ASCENDING.has(kind)) {
        this.#highest.set(kind, Math.max(Number(key) || 0, this.#highest.get(kind) ?? 0))
      }
    }
  }

  remove(id: string): void {
    const holding = this.#holdings.get(id)
    if (!holding) return
    this.#holdings.delete(id)
    for (const resource of holding.resources) {
      const { kind, key, amount, mode } = resource
      if (amount !== undefined) this.#use(poolOf(resource), -amount)
      else if (key !== undefined) this.#index(mode).remove(this.#place(kind, key, holding.guest), holding)
    }
  }

  /** The amount of a counted resource in use, in its unit. */
  used(pool: string): number {
    return this.#used.get(pool) ?? 0
  }

  /** Every counted resource in use. */
  pools(): string[] {
    return [...this.#used.keys()]
  }

  /** Those of these resources that this guest cannot have, each with its holder. */
  conflicts(guest: Holder, resources: readonly Allocation[]): { conflict: Conflict; with: Holding }[] {
    const owner = ownerOf(guest)
    const out: { conflict: Conflict; with: Holding }[] = []
    for (const { kind, key, amount, mode, path } of resources) {
      if (key === undefined || amount !== undefined) continue
      const place = this.#place(kind, key, guest)
      const others = [...this.#exclusive.at(place), ...(mode === 'exclusive' ? this.#shared.at(place) : [])]
      for (const other of others) {
        if (ownerOf(other.guest) === owner) continue
        if (NAMES.has(kind) && guest.isOwn && !other.guest.isOwn) continue
        const { name, uuid } = other.guest
        out.push({ conflict: { kind, key, ...(path && { path }), mode, holder: name, uuid }, with: other })
      }
    }
    return out
  }

  /**
   * Chooses the automatic ones of the resources asked for: the first free of each range from where its search begins.
   * Gives the values of each, in order, or the first resource there are not enough values for.
   */
  choose(guest: Holder, wanted: readonly (Allocation | AutomaticResource)[]): number[][] | AutomaticResource {
    const taken = new Set<string>()
    for (const one of wanted) {
      if (!isAutomatic(one) && one.key !== undefined) taken.add(this.#place(one.kind, one.key, guest))
    }
    const isTaken = (place: string) => taken.has(place) || this.#exclusive.has(place) || this.#shared.has(place)
    const free = new Map<string, FreeValues>()
    const chosen: number[][] = []
    for (const one of wanted.filter(isAutomatic)) {
      const { kind, count = 1 } = one
      const { min, max } = one.auto
      const values = free.get(kind) ?? new FreeValues(value => isTaken(this.#place(kind, String(value), guest)))
      free.set(kind, values)
      const start = this.#startOf(one)
      const found: number[] = []
      while (found.length < count) {
        const value = values.take(start, max) ?? values.take(min, start - 1)
        if (value === undefined) return one
        found.push(value)
      }
      chosen.push(found)
    }
    return chosen
  }

  /** The value a search begins at. */
  #startOf({ kind, auto: { min, max, from } }: AutomaticResource): number {
    const next = ASCENDING.has(kind) ? (this.#highest.get(kind) ?? min - 1) + 1 : (from ?? min)
    return next >= min && next <= max ? next : min
  }

  /** Every resource that guests have who must not share it. */
  overlaps(): Overlap[] {
    const out: Overlap[] = []
    for (const place of this.#exclusive.places()) {
      const holders = new Map<string, Overlap['holders'][number]>()
      let path: string | undefined
      const [kind, , key] = place.split('\0') as [string, string, string]
      for (const [mode, index] of [['exclusive', this.#exclusive] as const, ['shared', this.#shared] as const]) {
        for (const { guest, resources } of index.at(place)) {
          const { name, uuid, socket } = guest
          const owner = ownerOf(guest)
          if (!holders.has(owner)) holders.set(owner, { name, uuid, socket, mode })
          path ??= resources.find(one => one.kind === kind && one.key === key)?.path
        }
      }
      if (holders.size > 1) out.push({ kind, key, ...(path && { path }), holders: [...holders.values()] })
    }
    return out
  }

  #index(mode: Allocation['mode']): PlaceIndex {
    return mode === 'exclusive' ? this.#exclusive : this.#shared
  }

  #place(kind: string, key: string, { namespaces }: Claimant): string {
    const type = NAMESPACE_OF.get(kind)
    const namespace = type && namespaces?.[type]
    return `${kind}\0${namespace === undefined || namespace === this.#own[type!] ? '' : namespace}\0${key}`
  }

  #use(pool: string, amount: number): void {
    const used = this.used(pool) + amount
    if (used === 0) this.#used.delete(pool)
    else this.#used.set(pool, used)
  }
}

/** Values of one kind that are free; each that is not is looked at once, whatever ranges are asked for. */
class FreeValues {
  readonly #isTaken: (value: number) => boolean
  /** of values that are not free: one further on, with none free between */
  readonly #next = new Map<number, number>()

  constructor(isTaken: (value: number) => boolean) {
    this.#isTaken = isTaken
  }

  /** Takes the first free value of a range, undefined where there is none. */
  take(from: number, to: number): number | undefined {
    const passed: number[] = []
    let at = from
    while (at <= to) {
      const next = this.#next.get(at)
      if (next === undefined && !this.#isTaken(at)) break
      passed.push(at)
      at = next ?? at + 1
    }
    const isFound = at <= to
    if (isFound) passed.push(at)
    for (const value of passed) this.#next.set(value, isFound ? at + 1 : at)
    return isFound ? at : undefined
  }
}

/** Holdings by the keys in them. Most keys are in one; the image many guests stand on is in thousands. */
class PlaceIndex {
  readonly #holdings = new Map<string, Holding | Set<Holding>>()

  at(place: string): Iterable<Holding> {
    const found = this.#holdings.get(place)
    return found === undefined ? [] : found instanceof Set ? found : [found]
  }

  has(place: string): boolean {
    return this.#holdings.has(place)
  }

  places(): IterableIterator<string> {
    return this.#holdings.keys()
  }

  add(place: string, holding: Holding): void {
    const found = this.#holdings.get(place)
    if (found instanceof Set) found.add(holding)
    else if (found !== holding) this.#holdings.set(place, found ? new Set([found, holding]) : holding)
  }

  remove(place: string, holding: Holding): void {
    const found = this.#holdings.get(place)
    if (found === holding) this.#holdings.delete(place)
    if (!(found instanceof Set)) return
    found.delete(holding)
    if (found.size === 1) for (const rest of found) this.#holdings.set(place, rest)
  }
}

/** The store an amount comes from: `memory`, `vcpu`, `hugepages 2048`. */
export function poolOf({ kind, key }: Pick<Allocation, 'kind' | 'key'>): string {
  return key === undefined ? kind : `${kind} ${key}`
}
