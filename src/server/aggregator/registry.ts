// Every guest the aggregator knows, by the place it was found at. Only what shims and files say is in here.
//
// One guest may be found at two places and two guests may bear one name or uuid: all are kept, each with flags. Listings
// show a guest that is reached by two sockets once.
import { type FailureLog, Listeners } from '../../state/listeners.ts'
import type { Report } from '../report.ts'

/** A change made through us is in the guest's report long before this is over. */
const TOUCHED_MS = 1000

/** Oddity of a guest: another has its name or uuid, or the same process is reached by another socket too. */
export type Flag = 'same name' | 'same uuid' | 'two sockets'

export interface KnownGuest {
  /** place of its discovery: its root directory or its socket */
  readonly place: string
  /** API socket of its shim, as reached from here; absent when it is shut off and has none */
  socket: string | undefined
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

  /** until when a guest's report may be behind what a client of ours has done; ms since the epoch, by uuid */
  readonly #touched = new Map<string, number>()

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
  set(place: string, { socket, report, unreachableSince }: Omit<KnownGuest, 'place'>): void {
    const known = this.#guests.get(place)
    if (!known) {
      const guest = { place, socket, report, unreachableSince }
      this.#guests.set(place, guest)
      this.#index(guest)
      this.#listeners.guest.tell(guest, undefined)
      return
    }
    const before = known.report
    const renamed = before.uuid !== report.uuid || before.name !== report.name
    if (renamed) this.#unindex(known)
    Object.assign(known, { socket, report, unreachableSince })
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
    return best(this.#byUuid.get(nameOrUuid.toLowerCase())) ?? best(this.#byName.get(nameOrUuid))
  }

  /** The same, by name alone. */
  byName(name: string): KnownGuest | undefined {
    return best(this.#byName.get(name))
  }

  byUuid(uuid: string): KnownGuest | undefined {
    return best(this.#byUuid.get(uuid))
  }

  /** Every guest of that uuid, at whichever place. */
  withUuid(uuid: string): readonly KnownGuest[] {
    return this.#byUuid.get(uuid) ?? []
  }

  /** A client of ours has done something to the guest, or heard of something. */
  touch(uuid: string): void {
    this.#touched.set(uuid, Date.now() + TOUCHED_MS)
  }

  /** Its report may be behind what a client of ours knows. */
  isTouched(uuid: string): boolean {
    const until = this.#touched.get(uuid)
    if (until === undefined) return false
    if (Date.now() < until) return true
    this.#touched.delete(uuid)
    return false
  }

  /** Every guest once: of those reached by several sockets the one that answers. */
  *guests(): IterableIterator<KnownGuest> {
    for (const guest of this.#guests.values()) {
      const alike = this.#byUuid.get(guest.report.uuid)!
      if (alike.length === 1) yield guest
      else if (best(alike.filter(other => other === guest || isSameProcess(guest, other))) === guest) yield guest
    }
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

/** Of guests that are alike: one that answers, that runs, that was found first. */
function best(alike: KnownGuest[] | undefined): KnownGuest | undefined {
  if (!alike || alike.length < 2) return alike?.[0]
  const rank = ({ socket, unreachableSince, report }: KnownGuest) =>
    (socket !== undefined && unreachableSince === undefined ? 2 : 0) + (report.id === -1 ? 0 : 1)
  return alike.reduce((first, next) => (rank(next) > rank(first) ? next : first))
}

/** Two sockets lead to one shim. */
function isSameProcess(a: KnownGuest, b: KnownGuest): boolean {
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
