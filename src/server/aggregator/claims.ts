// Claims: what a guest is granted before it starts or plugs something in, kept until its own report says as much.
//
//   asked ── decided and written to DIR/ID.json ──► granted ── its guest's report lists it ──► settled
//              │ somebody has it: refused             │                                          │ the report lists it no more,
//              ▼                                      ▼ given back, its process is dead,         ▼ or the guest is gone
//            nothing                                free  or unsettled after the grace time    free
//
// A grant is on disk before it is answered, so it outlives us; after a restart all claims count as unsettled. Files are
// replaced as a whole but not synced: they speak of processes of this boot, and a host that loses power loses both.
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errorsFrom } from '../../conf/error.ts'
import { formatJson, parseJson } from '../../conf/json.ts'
import type { Refuse } from '../../conf/refuse.ts'
import type { Log } from '../../drivers/qemu/domain/domain.ts'
import type { Allocation } from '../../state/allocation.ts'
import {
  type AutomaticResource,
  type ClaimAnswer,
  type Claimant,
  type ClaimedResource,
  type ClaimRequest,
  isAutomatic,
  ownNamespaces,
  ResourceTaken
} from '../../state/claim.ts'
import { bootId, isAlive, type ProcessIdentity } from '../../state/status.ts'
import { makePrivateDirectory } from '../../state/store.ts'
import type { Budget } from './budget.ts'
import { readClaimRequest } from './claim-schema.ts'
import { type Holder, type Holding, type Ledger, ownerOf } from './ledger.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A start takes no longer than this until its report tells of it (START_TIMEOUT_MS, and libvirt's 30 s). */
export const GRACE_MS = 60_000
/** Interval of looks at unsettled claims; whoever wants what one holds looks at once. */
const SWEEP_MS = 5000
/** Unsettled claims there may be at a time, and what all of them may take in bytes of JSON. */
const UNSETTLED_MAX = 4096
const UNSETTLED_BYTES_MAX = 64 * 1024 * 1024

/** A granted claim, as its file has it. */
interface Claim {
  bootId: string
  request: ClaimRequest & Holder
  /** what was asked for, with the values chosen */
  resources: Allocation[]
  answer: ClaimAnswer
  /** its process is one of ours to see: it is no container's with pids of its own */
  isLocal: boolean
}

interface Kept extends Claim {
  /** a report has listed it */
  settled: boolean
  /** of its JSON */
  bytes: number
  /** ms of the clock; when it is dropped if it is still unsettled */
  deadline: number
}

export interface ClaimsOptions {
  /** directory of the claims' files */
  dir: string
  ledger: Ledger
  budget: Budget
  log: Log
  graceMs?: number
  /** looks again at what a guest reports; gives whether that has changed what it holds */
  refresh?: (holding: Holding) => Promise<boolean>
  /** looks from here at a guest that claims */
  seenOf?: (guest: Claimant) => Pick<Holder, 'place' | 'isOwn'>
  /** told of a grant, before it is answered */
  granted?: (request: ClaimRequest) => void
  now?: () => number
}

/**
 * Nobody but a guest and its aggregator knows the id of its claim: the report that lists it is that guest's.
 * Invariant: what `#claims` holds unsettled is in the ledger as `claim ID`, and every claim of it is on disk.
 */
export class Claims {
  readonly #options: ClaimsOptions
  readonly #claims = new Map<string, Kept>()
  /** ids by who has them */
  readonly #byOwner = new Map<string, Set<string>>()
  /** claims that are being decided, by id */
  readonly #asking = new Map<string, Holder>()
  #unsettled = 0
  #unsettledBytes = 0
  readonly #timer: NodeJS.Timeout
  readonly #here = ownNamespaces()

  /** Takes up the claims a former aggregator granted. */
  constructor(options: ClaimsOptions) {
    this.#options = options
    makePrivateDirectory(options.dir)
    for (const name of readdirSync(options.dir)) this.#load(join(options.dir, name))
    this.#timer = setInterval(() => this.sweep(), SWEEP_MS)
    this.#timer.unref()
  }

  /** The guests behind all claims: their sockets are places to find shims at. */
  guests(): Claimant[] {
    return [...this.#claims.values()].map(({ request }) => request)
  }

  get size(): number {
    return this.#claims.size
  }

  /**
   * Grants all of a claim, or nothing.
   * @param body a ClaimRequest as JSON
   * @throws VIR_ERR_INVALID_ARG, ResourceTaken, VIR_ERR_RESOURCE_BUSY, VIR_ERR_SYSTEM_ERROR
   */
  async claim(body: unknown): Promise<ClaimAnswer> {
    const asked = readClaimRequest(body)
    const { pid: _, ...namespaces } = this.#here
    const claim = asked.claim ?? randomBytes(8).toString('hex')
    const { place, isOwn } = this.#options.seenOf?.(asked) ?? {}
    const request: Request = { ...asked, claim, namespaces: asked.namespaces ?? namespaces, place, isOwn }
    // reports that list it meanwhile tell whose it is
    this.#asking.set(claim, request)
    try {
      return await this.#decideTwice(request)
    } catch (error) {
      throw error instanceof Taken ? new ResourceTaken(error.conflicts) : error
    } finally {
      this.#asking.delete(claim)
    }
  }

  /** Decides, and once more if whoever is in the way holds something else by now. */
  async #decideTwice(request: Request): Promise<ClaimAnswer> {
    try {
      return this.#decide(request)
    } catch (error) {
      if (!(error instanceof Taken) || !(await this.#recheck(error.by))) throw error
      return this.#decide(request)
    }
  }

  /**
   * Tells all that a claim would be refused for; nothing is granted.
   * @returns what it would be warned of
   */
  async look(guest: Holder, resources: readonly ClaimedResource[], refuse: Refuse): Promise<string[]> {
    const { ledger, budget } = this.#options
    const fixed = resources.filter(isFixed)
    const find = () => ledger.conflicts(guest, fixed)
    let found = find()
    if (found.length > 0 && (await this.#recheck(holdingsOf(found)))) found = find()
    if (found.length > 0) refuse(new ResourceTaken(found.map(({ conflict }) => conflict)))
    const chosen = ledger.choose(guest, resources)
    if (!Array.isArray(chosen)) refuse(noneFree(chosen))
    return budget.check(fixed, ledger, refuse)
  }

  /** Gives a claim back; one that is not there is fine. */
  release(id: string): void {
    this.#drop(id)
  }

  /** A guest's report is in the ledger: it speaks for the claims it lists, and for no others it has spoken for before. */
  reported(guest: Holder, listed: readonly string[]): void {
    for (const id of listed) {
      const asking = this.#asking.get(id)
      if (asking && guest.place !== undefined) asking.place = guest.place
      this.#settle(id, guest)
    }
    const all = new Set(listed)
    for (const id of [...(this.#byOwner.get(ownerOf(guest)) ?? [])]) {
      if (!all.has(id) && this.#claims.get(id)!.settled) this.#drop(id)
    }
  }

  #settle(id: string, guest: Holder): void {
    const claim = this.#claims.get(id)
    if (!claim || claim.settled) return
    this.#disown(id, claim)
    const { place, isOwn } = guest
    claim.request = { ...claim.request, place, isOwn }
    this.#own(id, claim)
    claim.settled = true
    this.#countUnsettled(-1, claim)
    this.#options.ledger.remove(holdingId(id))
  }

  /** A guest is gone with all it held. */
  gone(guest: Holder): void {
    this.reported(guest, [])
  }

  /** Drops unsettled claims whose process is dead or whose time is up. */
  sweep(): void {
    const now = this.#now()
    for (const [id, claim] of this.#claims) {
      if (claim.settled) continue
      if (now >= claim.deadline || isDead(claim)) {
        this.#options.log.info({ claim: id, name: claim.request.name }, 'claim has lapsed')
        this.#drop(id)
      }
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #now(): number {
    return this.#options.now?.() ?? performance.now()
  }

  #decide(request: Request): ClaimAnswer {
    const { ledger, budget } = this.#options
    const id = request.claim
    const known = this.#claims.get(id)
    if (known) {
      if (ownerOf(known.request) === ownerOf(request)) return known.answer
      throw fail('VIR_ERR_INVALID_ARG', `claim '${id}' is another guest's`)
    }
    if (this.#unsettled >= UNSETTLED_MAX || this.#unsettledBytes >= UNSETTLED_BYTES_MAX) {
      throw fail('VIR_ERR_OPERATION_FAILED', 'too many claims wait for the reports of their guests')
    }
    const found = ledger.conflicts(request, request.resources.filter(isFixed))
    if (found.length > 0) throw new Taken(found)
    const chosen = ledger.choose(request, request.resources)
    if (!Array.isArray(chosen)) throw noneFree(chosen)
    const resources = withChosen(request.resources, chosen)
    const answer: ClaimAnswer = { claim: id, chosen, warnings: budget.check(resources, ledger) }
    // one that is dead already says by its namespace whose pids it spoke of
    const { pid } = this.#here
    const isLocal = isAlive(request) || (pid !== undefined && request.namespaces?.pid === pid)
    this.#keep({ bootId: bootId(), request, resources, answer, isLocal })
    return answer
  }

  #keep(claim: Claim): void {
    const { dir, granted, log } = this.#options
    const { request, answer } = claim
    const file = join(dir, `${answer.claim}.json`)
    const text = formatJson(claim)
    try {
      writeFileSync(`${file}.new`, text, { mode: 0o600 })
      renameSync(`${file}.new`, file)
    } catch (error) {
      throw fail('VIR_ERR_SYSTEM_ERROR', `cannot write '${file}': ${(error as Error).message}`, error)
    }
    this.#take(claim, text.length)
    log.debug({ claim: answer.claim, name: request.name }, 'claim granted')
    granted?.(request)
  }

  #take(claim: Claim, bytes: number): void {
    const { ledger, graceMs = GRACE_MS } = this.#options
    const id = claim.answer.claim
    const kept = { ...claim, bytes, settled: false, deadline: this.#now() + graceMs }
    this.#claims.set(id, kept)
    this.#own(id, kept)
    this.#countUnsettled(1, kept)
    ledger.put({ id: holdingId(id), guest: claim.request, resources: claim.resources })
  }

  #load(file: string): void {
    try {
      if (!file.endsWith('.json')) throw new Error('not a claim')
      const text = readFileSync(file, 'utf8')
      const claim = parseJson(text) as Claim
      readClaimRequest(claim.request)
      if (claim.bootId !== bootId() || isDead(claim)) throw new Error('of a process that is gone')
      this.#take(claim, text.length)
    } catch (error) {
      this.#options.log.info({ file, reason: (error as Error).message }, 'left claim is dropped')
      rmSync(file, { force: true, recursive: true })
    }
  }

  #drop(id: string): void {
    const claim = this.#claims.get(id)
    if (!claim) return
    this.#claims.delete(id)
    this.#disown(id, claim)
    if (!claim.settled) this.#countUnsettled(-1, claim)
    rmSync(join(this.#options.dir, `${id}.json`), { force: true })
    this.#options.ledger.remove(holdingId(id))
  }

  #own(id: string, { request }: Claim): void {
    const owner = ownerOf(request)
    this.#byOwner.set(owner, (this.#byOwner.get(owner) ?? new Set()).add(id))
  }

  #disown(id: string, { request }: Claim): void {
    const owner = ownerOf(request)
    const ofOwner = this.#byOwner.get(owner)
    ofOwner?.delete(id)
    if (ofOwner?.size === 0) this.#byOwner.delete(owner)
  }

  #countUnsettled(by: 1 | -1, { bytes }: Kept): void {
    this.#unsettled += by
    this.#unsettledBytes += by * bytes
  }

  /** Tells that one of them no longer holds all it did: its process is dead, or its report is old. */
  async #recheck(holdings: readonly Holding[]): Promise<boolean> {
    const { refresh } = this.#options
    this.sweep()
    const looked = holdings.map(async holding => {
      const isClaim = holding.id.startsWith(holdingId(''))
      if (isClaim) return !this.#claims.has(holding.id.slice(holdingId('').length))
      return (await refresh?.(holding)) ?? false
    })
    return (await Promise.all(looked)).some(changed => changed)
  }
}

const holdingId = (claim: string) => `claim ${claim}`

const isFixed = (one: ClaimedResource): one is Allocation => !isAutomatic(one)

const noneFree = ({ kind, auto }: AutomaticResource) =>
  fail('VIR_ERR_RESOURCE_BUSY', `no ${kind} is free from ${auto.min} to ${auto.max}`)

type Found = ReturnType<Ledger['conflicts']>

const holdingsOf = (found: Found): Holding[] => [...new Set(found.map(one => one.with))]

/** A claim that is being decided. */
type Request = ClaimRequest & Holder & { claim: string }

/** Somebody else has some of it. */
class Taken extends Error {
  readonly conflicts
  readonly by: Holding[]

  constructor(found: Found) {
    super('taken')
    this.conflicts = found.map(({ conflict }) => conflict)
    this.by = holdingsOf(found)
  }
}

/** The shim is gone and left no guest: one it left holds on to everything until the grace time is over. */
function isDead({ isLocal, request }: Claim): boolean {
  return isLocal && !isAlive(request) && !guestLeft(request)
}

/** The QEMU of a shim that was killed, by the status file beside its socket. */
function guestLeft({ socket }: Claimant): boolean {
  try {
    const { process } = parseJson(readFileSync(join(dirname(socket), 'status.json'), 'utf8')) as {
      process?: ProcessIdentity
    }
    return process !== undefined && isAlive(process)
  } catch {
    return false
  }
}

/** Every value chosen is the guest's alone. */
function withChosen(asked: readonly ClaimedResource[], chosen: readonly number[][]): Allocation[] {
  const left = [...chosen]
  return asked.flatMap((one): Allocation[] => {
    if (!isAutomatic(one)) return [one]
    return left.shift()!.map(value => ({ kind: one.kind, key: String(value), mode: 'exclusive' }))
  })
}
