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
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errorsFrom } from '../../conf/error.ts'
import { formatJson, parseJson } from '../../conf/json.ts'
import type { Log } from '../../drivers/qemu/domain/domain.ts'
import type { Allocation } from '../../state/allocation.ts'
import {
  type ClaimAnswer,
  type Claimant,
  type ClaimedResource,
  type ClaimRequest,
  isAutomatic,
  ownNamespaces,
  ResourceTaken
} from '../../state/claim.ts'
import { bootId, isAlive, type ProcessIdentity } from '../../state/status.ts'
import type { Budget } from './budget.ts'
import { readClaimRequest } from './claim-schema.ts'
import { type Holding, type Ledger, ownerOf } from './ledger.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A start takes no longer than this until its report tells of it (START_TIMEOUT_MS, and libvirt's 30 s). */
export const GRACE_MS = 60_000
/** Interval of looks at unsettled claims; whoever wants what one holds looks at once. */
const SWEEP_MS = 5000

/** A granted claim, as its file has it. */
interface Claim {
  bootId: string
  request: ClaimRequest
  /** what was asked for, with the values chosen */
  resources: Allocation[]
  answer: ClaimAnswer
  /** its process is one of ours to see: it is no container's with pids of its own */
  isLocal: boolean
}

interface Kept extends Claim {
  /** a report has listed it */
  settled: boolean
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
  /** told of a grant, before it is answered */
  granted?: (guest: Claimant) => void
  now?: () => number
}

/** Invariant: what `#claims` holds unsettled is in the ledger as `claim ID`, and every claim of it is on disk. */
export class Claims {
  readonly #options: ClaimsOptions
  readonly #claims = new Map<string, Kept>()
  /** ids by who has them */
  readonly #byOwner = new Map<string, Set<string>>()
  readonly #timer: NodeJS.Timeout
  readonly #own = ownNamespaces()

  /** Takes up the claims a former aggregator granted. */
  constructor(options: ClaimsOptions) {
    this.#options = options
    mkdirSync(options.dir, { recursive: true, mode: 0o700 })
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
    const { pid: _, ...namespaces } = this.#own
    const request = { ...asked, namespaces: asked.namespaces ?? namespaces }
    try {
      return this.#decide(request)
    } catch (error) {
      if (!(error instanceof Taken)) throw error
      if (!(await this.#recheck(error.by))) throw new ResourceTaken(error.conflicts)
    }
    try {
      return this.#decide(request)
    } catch (error) {
      throw error instanceof Taken ? new ResourceTaken(error.conflicts) : error
    }
  }

  /** Gives a claim back; one that is not there is fine. */
  release(id: string): void {
    this.#drop(id)
  }

  /** A guest's report is in the ledger: it speaks for the claims it lists, and for no others it has spoken for before. */
  reported(guest: Claimant, listed: readonly string[]): void {
    for (const id of [...(this.#byOwner.get(ownerOf(guest)) ?? [])]) {
      const claim = this.#claims.get(id)!
      if (listed.includes(id)) {
        claim.settled = true
        this.#options.ledger.remove(holdingId(id))
      } else if (claim.settled) this.#drop(id)
    }
  }

  /** A guest is gone with all it held. */
  gone(guest: Claimant): void {
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

  #decide(request: ClaimRequest): ClaimAnswer {
    const { ledger, budget } = this.#options
    const id = request.claim ?? randomBytes(8).toString('hex')
    const known = this.#claims.get(id)
    if (known) {
      if (ownerOf(known.request) === ownerOf(request)) return known.answer
      throw fail('VIR_ERR_INVALID_ARG', `claim '${id}' is another guest's`)
    }
    const fixed = request.resources.filter((one): one is Allocation => !isAutomatic(one))
    const found = ledger.conflicts(request, fixed)
    if (found.length > 0) throw new Taken(found)
    const chosen = ledger.choose(request, request.resources)
    if (!Array.isArray(chosen)) {
      const { kind, auto } = chosen
      throw fail('VIR_ERR_RESOURCE_BUSY', `no ${kind} is free from ${auto.min} to ${auto.max}`)
    }
    const resources = withChosen(request.resources, chosen)
    const answer: ClaimAnswer = { claim: id, chosen, warnings: budget.check(resources, ledger) }
    // one that is dead already says by its namespace whose pids it spoke of
    const { pid } = this.#own
    const isLocal = isAlive(request) || (pid !== undefined && request.namespaces?.pid === pid)
    this.#keep({ bootId: bootId(), request: { ...request, claim: id }, resources, answer, isLocal })
    return answer
  }

  #keep(claim: Claim): void {
    const { dir, granted, log } = this.#options
    const { request, answer } = claim
    const file = join(dir, `${answer.claim}.json`)
    try {
      writeFileSync(`${file}.new`, formatJson(claim), { mode: 0o600 })
      renameSync(`${file}.new`, file)
    } catch (error) {
      throw fail('VIR_ERR_SYSTEM_ERROR', `cannot write '${file}': ${(error as Error).message}`, error)
    }
    this.#take(claim)
    log.debug({ claim: answer.claim, name: request.name }, 'claim granted')
    granted?.(request)
  }

  #take(claim: Claim): void {
    const { ledger, graceMs = GRACE_MS } = this.#options
    const id = claim.answer.claim
    this.#claims.set(id, { ...claim, settled: false, deadline: this.#now() + graceMs })
    const owner = ownerOf(claim.request)
    this.#byOwner.set(owner, (this.#byOwner.get(owner) ?? new Set()).add(id))
    ledger.put({ id: holdingId(id), guest: claim.request, resources: claim.resources })
  }

  #load(file: string): void {
    try {
      if (!file.endsWith('.json')) throw new Error('not a claim')
      const claim = parseJson(readFileSync(file, 'utf8')) as Claim
      readClaimRequest(claim.request)
      if (claim.bootId !== bootId() || isDead(claim)) throw new Error('of a process that is gone')
      this.#take(claim)
    } catch (error) {
      this.#options.log.info({ file, reason: (error as Error).message }, 'left claim is dropped')
      rmSync(file, { force: true, recursive: true })
    }
  }

  #drop(id: string): void {
    const claim = this.#claims.get(id)
    if (!claim) return
    this.#claims.delete(id)
    const owner = ownerOf(claim.request)
    const ofOwner = this.#byOwner.get(owner)
    ofOwner?.delete(id)
    if (ofOwner?.size === 0) this.#byOwner.delete(owner)
    rmSync(join(this.#options.dir, `${id}.json`), { force: true })
    this.#options.ledger.remove(holdingId(id))
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

/** Somebody else has some of it. */
class Taken extends Error {
  readonly conflicts
  readonly by: Holding[]

  constructor(found: ReturnType<Ledger['conflicts']>) {
    super('taken')
    this.conflicts = found.map(({ conflict }) => conflict)
    this.by = [...new Set(found.map(one => one.with))]
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
