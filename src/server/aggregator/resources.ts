// The host's resources as the aggregator knows them: feeds the ledger from the registry, and answers /v1/claims,
// /v1/allocations and /v1/conflicts.
import { statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Refuse } from '../../conf/refuse.ts'
import type { Identity } from '../../drivers/known-guest.ts'
import type { Log } from '../../drivers/qemu/domain/domain.ts'
import type { Allocation } from '../../state/allocation.ts'
import {
  type ClaimAnswer,
  type Claimant,
  type ClaimedResource,
  type ClaimRequest,
  ownNamespaces
} from '../../state/claim.ts'
import { isAlive, processIdentity } from '../../state/status.ts'
import { ask } from '../raw-http.ts'
import type { Report } from '../report.ts'
import { Budget, type BudgetState, type Overcommits } from './budget.ts'
import { Claims } from './claims.ts'
import type { Discovery } from './discovery.ts'
import type { Layout } from './layout.ts'
import { type Holder, type Holding, Ledger, type Overlap, ownerOf } from './ledger.ts'
import { readReport } from './read-report.ts'
import type { KnownGuest, Registry } from './registry.ts'
import { looksLikeShim, socketIdOf } from './socket-id.ts'

/** A guest that is in another's way is asked once more what it holds; it has this long to answer. */
const REFRESH_LIMIT_MS = 300
/** When a guest that was granted something is looked for at its socket, which it may not have opened yet. */
const LOOK_AFTER_MS = [200, 1000, 5000, 15_000]

export interface ResourcesOptions {
  layout: Layout
  registry: Registry
  discovery: Pick<Discovery, 'add' | 'refresh'>
  overcommits: Overcommits
  graceMs: number | undefined
  log: Log
}

/** One line of GET /v1/allocations. */
export interface HeldAllocation extends Allocation {
  holder: { name: string; uuid: string; socket: string }
  /** claimed: granted to a guest that has not told of it yet */
  state: 'reported' | 'claimed'
}

/** State of all resources; schemas/aggregator.json says the same. */
export interface ResourceState {
  allocations: HeldAllocation[]
  budgets: BudgetState[]
  conflicts: Overlap[]
  /** reports that are not believed */
  leftOut: { place: string; reason: string }[]
}

export class Resources {
  readonly #ledger: Ledger
  readonly #budget: Budget
  readonly #claims: Claims
  readonly #options: ResourcesOptions
  /** places in the registry, by the guest that is found there; a guest may be reached by several */
  readonly #places = new Map<string, Map<string, KnownGuest>>()
  readonly #ownerAt = new Map<string, string>()
  readonly #own = ownNamespaces()
  #isClosed = false

  /** Follows the registry from now on. */
  constructor(options: ResourcesOptions) {
    const { registry, layout, overcommits, graceMs, log } = options
    this.#options = options
    this.#ledger = new Ledger(this.#own)
    this.#budget = new Budget(overcommits)
    this.#claims = new Claims({
      dir: join(layout.root.dir, 'claims'),
      ledger: this.#ledger,
      budget: this.#budget,
      log,
      ...(graceMs !== undefined && { graceMs }),
      refresh: holding => this.#refresh(holding),
      seenOf: guest => this.#seenOf(guest),
      granted: guest => void this.#lookFor(guest)
    })
    registry.on('guest', guest => this.#reported(guest))
    registry.on('gone', guest => this.#gone(guest.place))
    for (const guest of registry.all()) this.#reported(guest)
  }

  /**
   * Grants all of a claim or nothing.
   * @throws VIR_ERR_INVALID_ARG, ResourceTaken, VIR_ERR_RESOURCE_BUSY
   */
  claim(body: unknown): Promise<ClaimAnswer> {
    return this.#claims.claim(body)
  }

  /**
   * Tells all that a guest's claim would be refused for.
   * @param known the guest, where it is one of this host's
   * @returns what it would be warned of
   */
  look(
    { name, uuid }: Identity,
    known: KnownGuest | undefined,
    resources: readonly ClaimedResource[],
    refuse: Refuse
  ): Promise<string[]> {
    const { apiSocket: socket } = this.#options.layout.guest(name)
    const guest = known
      ? this.#holderOf(known)
      : { name, uuid, socket, namespaces: this.#own, place: socket, isOwn: true }
    return this.#claims.look(guest, resources, refuse)
  }

  /** Gives a claim back. */
  release(claim: string): void {
    this.#claims.release(claim)
  }

  /** Every resource by holder, and what is in use of those that are counted. */
  allocations(): Pick<ResourceState, 'allocations' | 'budgets'> {
    this.#claims.sweep()
    const allocations: HeldAllocation[] = []
    for (const { id, guest, resources } of this.#ledger.all()) {
      const { name, uuid, socket } = guest
      const told = this.#ledger.get(reportId(ownerOf(guest)))
      const isClaim = told?.id !== id
      for (const one of resources) {
        const isTold = told?.resources.some(
          ({ kind, key, mode }) =>
            kind === one.kind && key === one.key && key !== undefined && (mode === 'exclusive' || one.mode === 'shared')
        )
        if (isClaim && isTold) continue
        allocations.push({ ...one, holder: { name, uuid, socket }, state: isClaim ? 'claimed' : 'reported' })
      }
    }
    return { allocations, budgets: this.#budget.states(this.#ledger) }
  }

  /** Resources too many hold, budgets that are exceeded, reports that are not believed. */
  conflicts(): Omit<ResourceState, 'allocations'> {
    this.#claims.sweep()
    const budgets = this.#budget.states(this.#ledger).filter(({ exceeded }) => exceeded)
    const leftOut = Array.from(this.#options.registry.leftOut, ([place, reason]) => ({ place, reason }))
    return { conflicts: this.#ledger.overlaps(), budgets, leftOut }
  }

  close(): void {
    this.#isClosed = true
    this.#claims.close()
  }

  #reported(known: KnownGuest): void {
    const { place, report } = known
    const guest = this.#holderOf(known)
    const owner = ownerOf(guest)
    // a guest that is shut off needs no shim to hold its name and uuid
    if (this.#ownerAt.get(place) !== owner) this.#gone(place)
    this.#ownerAt.set(place, owner)
    const places = this.#places.get(owner) ?? new Map<string, KnownGuest>()
    this.#places.set(owner, places.set(place, known))
    this.#take(guest, report)
  }

  #take(guest: Holder, { name, uuid, pids, generation, allocations, claims = [] }: Report): void {
    const id = reportId(ownerOf(guest))
    const before = this.#ledger.get(id) as ReportHolding | undefined
    // an answer that was on its way while a newer one came by another connection
    if (before && before.shim === pids.shim && before.generation > generation) return
    // it has its own name, and no say about others'
    const names: Allocation[] = [
      { kind: 'name', key: name, mode: 'exclusive' },
      { kind: 'uuid', key: uuid, mode: 'exclusive' }
    ]
    const resources = [...names, ...allocations.filter(({ kind }) => kind !== 'name' && kind !== 'uuid')]
    const holding: ReportHolding = { id, guest, resources, shim: pids.shim, generation }
    this.#ledger.put(holding)
    this.#claims.reported(guest, claims)
  }

  #gone(place: string): void {
    const owner = this.#ownerAt.get(place)
    if (owner === undefined) return
    this.#ownerAt.delete(place)
    const places = this.#places.get(owner)
    places?.delete(place)
    if (places && places.size > 0) return
    this.#drop(owner)
  }

  #drop(owner: string): void {
    const holding = this.#ledger.get(reportId(owner))
    this.#places.delete(owner)
    if (!holding) return
    this.#ledger.remove(holding.id)
    this.#claims.gone(holding.guest)
  }

  #holderOf({ place, report, socket = join(place, 'api.sock'), socketId = socket, isOwn }: KnownGuest): Holder {
    const { name, uuid, namespaces = this.#own } = report
    return { name, uuid, socket, namespaces, place: socketId, ...(isOwn && { isOwn }) }
  }

  /** A socket in our mount namespace can be looked at; of another the guest's report tells whose claim it is. */
  #seenOf({ socket, namespaces }: Claimant): Pick<Holder, 'place' | 'isOwn'> {
    if (!this.#isHere(namespaces)) return {}
    const isOwn = dirname(dirname(socket)) === this.#options.layout.guestsDir
    return { place: socketIdOf(socket) ?? socket, ...(isOwn && { isOwn }) }
  }

  #isHere(namespaces: Claimant['namespaces']): boolean {
    return namespaces?.mnt === undefined || namespaces.mnt === this.#own.mnt
  }

  /** Asks a guest again what it holds: it may have let go of something a moment ago, or be gone. */
  async #refresh(holding: Holding): Promise<boolean> {
    const owner = ownerOf(holding.guest)
    for (const known of [...(this.#places.get(owner)?.values() ?? [])]) {
      if (known.socket === undefined) continue
      try {
        const answer = await ask(known.socket, { method: 'GET', path: '/v1/report', timeoutMs: REFRESH_LIMIT_MS })
        if (answer.status !== 200) continue
        const report = readReport(answer.body)
        if (report.uuid !== known.report.uuid) continue
        this.#take(holding.guest, report)
        return this.#ledger.get(holding.id) !== holding
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        const { qemu } = known.report.pids
        const isGone = (code === 'ENOENT' || code === 'ECONNREFUSED') && !(qemu && processIdentity(qemu))
        if (!isGone) continue
        // a guest that is shut off has its name without a shim, which may have ended just now
        await this.#options.discovery.refresh(known.report.uuid)
        if (this.#ledger.get(holding.id) === holding) this.#drop(owner)
        return true
      }
    }
    return false
  }

  /** A shim that claims may lie where nobody told us to look. */
  async #lookFor(request: ClaimRequest): Promise<void> {
    const { registry, discovery } = this.#options
    const { socket } = request
    if (!this.#isHere(request.namespaces)) return
    for (const ms of LOOK_AFTER_MS) {
      await sleep(ms, undefined, { ref: false })
      if (this.#isClosed || isKnown(registry, socket)) return
      if (!isSocketOf(request)) continue
      const found = await discovery.add(socket).catch(() => undefined)
      if (found) return
    }
  }
}

interface ReportHolding extends Holding {
  shim: number | null
  generation: number
}

/** The process that claims lives, and the socket it names is its user's. */
function isSocketOf({ socket, ...process }: ClaimRequest): boolean {
  const uid = isAlive(process) ? statSync(`/proc/${process.pid}`, { throwIfNoEntry: false })?.uid : undefined
  return uid !== undefined && looksLikeShim(socket, uid)
}

function isKnown(registry: Registry, socket: string): boolean {
  for (const guest of registry.all()) if (guest.socket === socket) return true
  return false
}

const reportId = (owner: string) => `report ${owner}`
