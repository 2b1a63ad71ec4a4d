// Every guest the aggregator knows, by the place it was found at. Only what shims and files say is in here.
//
// One guest may be found at two places and two guests may bear one name or uuid: all are kept, each with flags. Listings
// show a guest that is reached by two sockets once. What is told at a watched socket is believed of that socket's guest
// alone: one that calls itself as a guest of our own does is kept and flagged, but neither listed nor called.
import { type FailureLog, Listeners } from '../../state/listeners.ts'
import type { Report } from '../report.ts'

/** Oddity of a guest: another has its name or uuid, or the same process is reached by another socket too. */
export type Flag = 'same name' | 'same uuid' | 'two sockets'

export interface KnownGuest {
  /** place of its discovery: its root directory or its socket */
  readonly place: string
  /** API socket of its shim, as reached from here; absent when it is shut off and has none */
  socket: string | undefined
  /** device and inode of that socket: the same shim by whichever path */
  socketId?: string | undefined
  /** found in our own guests directory */
  isOwn?: boolean
  report: Report
  /** ms since the epoch; set while its shim does not answer */
  unreachableSince: number | undefined
}

interface RegistryEvents {
  /** a guest is new or has changed; `before` is its former report */
  guest: [guest: KnownGuest, before: Report | undefined]
  gone: [guest: KnownGuest]
}

export class Registry {
  readonly #listeners: { [E in keyof RegistryEvents]: Listeners<RegistryEvents[E]> }
  readonly #guests = new Map<string, KnownGuest>()
  readonly #byUuid = new Map<string, KnownGuest[]>()
  readonly #byName = new Map<string, KnownGuest[]>()

  /** reports that are not believed: why, by the place they come from */
  readonly leftOut = new Map<string, string>()

  /** @param log told of listeners that fail */
  constructor(log: FailureLog = console) {
    this.#listeners = { guest: new Listeners(log), gone: new Listeners(log) }
  }

  on<E extends keyof RegistryEvents>(event: E, listener: (...args: RegistryEvents[E]) => void): void {
    this.#listeners[event].add(listener)
  }

  off<E extends keyof RegistryEvents>(event: E, listener: (...args: RegistryEvents[E]) => void): void {
    this.#listeners[event].delete(listener)
  }

  /** Every guest at every place. */
  all(): IterableIterator<KnownGuest> {
    return this.#guests.values()
  }

  get size(): number {
    return this.#guests.size
  }

  at(place: string): KnownGuest | undefined {
    return this.#guests.get(place)
  }

  /** Sets what is known of the guest at a place. */
  set(place: string, found: Omit<KnownGuest, 'place'>): void {
    const { report } = found
    const known = this.#guests.get(place)
    if (!known) {
      const guest = { socketId: undefined, ...found, place }
      this.#guests.set(place, guest)
      this.#index(guest)
      this.#listeners.guest.tell(guest, undefined)
      return
    }
    const before = known.report
    const renamed = before.uuid !== report.uuid || before.name !== report.name
    if (renamed) this.#unindex(known)
    Object.assign(known, { socketId: undefined, ...found, place })
    if (renamed) this.#index(known)
    this.#listeners.guest.tell(known, before)
  }

  /** The guest at a place does not answer any more; the time of the first notice counts. */
  markUnreachable(place: string): void {
    const known = this.#guests.get(place)
    if (known && known.unreachableSince === undefined) this.set(place, { ...known, unreachableSince: Date.now() })
  }

  remove(place: string): void {
    const known = this.#guests.get(place)
    if (!known) return
    this.#guests.delete(place)
    this.#unindex(known)
    this.#listeners.gone.tell(known)
  }

  /** The guest of that uuid (any spelling) or name; one that answers rather than one that does not. */
  find(nameOrUuid: string): KnownGuest | undefined {
    return this.byUuid(nameOrUuid.toLowerCase()) ?? this.byName(nameOrUuid)
  }

  /** The same, by name alone. */
  byName(name: string): KnownGuest | undefined {
    return this.#best(this.#byName.get(name))
  }

  byUuid(uuid: string): KnownGuest | undefined {
    return this.#best(this.#byUuid.get(uuid))
  }

  /** Every guest of that uuid, at whichever place. */
  withUuid(uuid: string): readonly KnownGuest[] {
    return this.#byUuid.get(uuid) ?? []
  }

  /** Every guest once: of those reached by several sockets the one that answers. */
  *guests(): IterableIterator<KnownGuest> {
    for (const guest of this.#guests.values()) if (this.isListed(guest)) yield guest
  }

  /** True for one of these. */
  isListed(guest: KnownGuest): boolean {
    if (this.#isOutranked(guest)) return false
    const alike = this.#byUuid.get(guest.report.uuid)!
    return alike.length === 1 || best(alike.filter(one => one === guest || isSameProcess(guest, one))) === guest
  }

  /** True where a guest of our own has its name or uuid. */
  #isOutranked(guest: KnownGuest): boolean {
    if (guest.isOwn) return false
    const isOther = (one: KnownGuest) => one.isOwn && !isSameProcess(one, guest)
    const { name, uuid } = guest.report
    return this.#byUuid.get(uuid)!.some(isOther) || this.#byName.get(name)!.some(isOther)
  }

  /** The one of guests that are alike that is meant. */
  #best(alike: readonly KnownGuest[] = []): KnownGuest | undefined {
    return alike.length === 0 ? undefined : best(alike.filter(guest => !this.#isOutranked(guest)))
  }

  flags(guest: KnownGuest): Flag[] {
    const { name, uuid } = guest.report
    const out = new Set<Flag>()
    for (const other of this.#byUuid.get(uuid)!) {
      if (other !== guest) out.add(isSameProcess(guest, other) ? 'two sockets' : 'same uuid')
    }
    if (this.#byName.get(name)!.some(({ report }) => report.uuid !== uuid)) out.add('same name')
    return [...out]
  }

  #index(guest: KnownGuest): void {
    add(this.#byUuid, guest.report.uuid, guest)
    add(this.#byName, guest.report.name, guest)
  }

  #unindex(guest: KnownGuest): void {
    drop(this.#byUuid, guest.report.uuid, guest)
    drop(this.#byName, guest.report.name, guest)
  }
}

function add(index: Map<string, KnownGuest[]>, key: string, guest: KnownGuest): void {
  const alike = index.get(key)
  if (alike) alike.push(guest)
  else index.set(key, [guest])
}

function drop(index: Map<string, KnownGuest[]>, key: string, guest: KnownGuest): void {
  const rest = index.get(key)!.filter(other => other !== guest)
  if (rest.length > 0) index.set(key, rest)
  else index.delete(key)
}

/**
 * Of guests that are alike: one of our own, else the one found first, whoever else bears its name; of several ways to
 * it one that answers.
 */
function best(alike: readonly KnownGuest[]): KnownGuest | undefined {
  const [first] = alike
  if (!first || alike.length === 1) return first
  const own = alike.filter(({ isOwn }) => isOwn)
  const rank = ({ socket, unreachableSince, report }: KnownGuest) =>
    (socket !== undefined && unreachableSince === undefined ? 2 : 0) + (report.id === -1 ? 0 : 1)
  const meant = own.length > 0 ? own : alike.filter(guest => guest === first || isSameProcess(first, guest))
  return meant.reduce((one, next) => (rank(next) > rank(one) ? next : one))
}

/** Two sockets lead to one shim. */
function isSameProcess(a: KnownGuest, b: KnownGuest): boolean {
  if (a.socketId !== undefined && b.socketId !== undefined) return a.socketId === b.socketId
  const { uuid, name, pids } = a.report
  const other = b.report
  return (
    uuid === other.uuid &&
    name === other.name &&
    pids.shim !== null &&
    pids.shim === other.pids.shim &&
    pids.qemu === other.pids.qemu
  )
}
