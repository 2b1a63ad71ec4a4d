// The shim's side of claims: asks the host's aggregator, and does without when there is none. On the path of every
// start, so nothing is loaded for it but node:net.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ErrorJson } from '../conf/error.ts'
import { ERROR_CODES } from '../conf/error-table.ts'
import { formatJson, parseJson } from '../conf/json.ts'
import { randomBytes } from '../conf/random.ts'
import type { Log } from '../drivers/qemu/domain/domain.ts'
import {
  type ClaimAnswer,
  type ClaimedResource,
  type ClaimRequest,
  type Claims,
  type Conflict,
  errorOfJson,
  isAutomatic,
  ownNamespaces,
  ResourceTaken
} from '../state/claim.ts'
import { userDirectories } from '../state/root.ts'
import { processIdentity } from '../state/status.ts'
import { ask, type RawAnswer } from './raw-http.ts'

/** An aggregator that has not answered by then is done without. */
const CLAIM_LIMIT_MS = 1000
/** Giving back is no more than a courtesy: what a dead process claimed is free anyway. */
const RELEASE_LIMIT_MS = 300
/** The report has told by then of all that a claim was for: it speaks for itself. */
const REPORTED_MS = 120_000
/** The answer that says somebody else has it, or that there is not enough. */
const REFUSED = 409

/** Errors of connect(2) that mean nobody listens. */
const NOBODY = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTDIR', 'EACCES'])

/** The aggregator that is meant by `--aggregator`: a socket, none, or by default this user's. */
export function aggregatorSocket(given: string | undefined): string | undefined {
  if (given !== undefined) return given === 'none' ? undefined : given
  const own = join(userDirectories().run, 'api.sock')
  return existsSync(own) ? own : undefined
}

/** The claims of the guest whose API socket is `guestSocket`, at the aggregator at `aggregator`. */
export function claimsAt(aggregator: string, guestSocket: string, log: Log): Claims {
  return new AggregatorClaims(aggregator, guestSocket, log)
}

class AggregatorClaims implements Claims {
  /** when each was made, ms of the clock */
  readonly #held = new Map<string, number>()
  readonly #aggregator: string
  readonly #guestSocket: string
  readonly #log: Log

  constructor(aggregator: string, guestSocket: string, log: Log) {
    this.#aggregator = aggregator
    this.#guestSocket = guestSocket
    this.#log = log
  }

  get held(): string[] {
    return [...this.#held.keys()]
  }

  async claim(guest: { name: string; uuid: string }, resources: ClaimedResource[]): Promise<ClaimAnswer | undefined> {
    const { name, uuid } = guest
    const claim = randomBytes(8).toString('hex')
    const who = { claim, name, uuid, ...processIdentity(process.pid)!, socket: this.#guestSocket }
    const request: ClaimRequest = { ...who, namespaces: ownNamespaces(), resources }
    const now = performance.now()
    for (const [old, madeMs] of this.#held) if (now - madeMs > REPORTED_MS) this.#held.delete(old)
    // listed before it is answered: whatever becomes of the answer, our report speaks for it
    this.#held.set(claim, now)
    const answer = await this.#ask(request)
    if (!answer) return undefined
    const value = jsonOf(answer)
    if (answer.status === 200 && isGrant(value, resources)) {
      for (const warning of value.warnings) this.#log.warn({ budget: warning }, 'the host is overcommitted')
      return value
    }
    if (answer.status !== 200) this.#held.delete(claim)
    if (answer.status === REFUSED && isError(value)) throw refusal(value)
    this.#log.warn({ status: answer.status, answer: value }, 'the aggregator does not take claims, going on without')
    return undefined
  }

  async release(claim?: string): Promise<void> {
    const claims = claim === undefined ? this.held : [claim]
    for (const one of claims) this.#held.delete(one)
    const give = (one: string) =>
      ask(this.#aggregator, { method: 'DELETE', path: `/v1/claims/${one}`, timeoutMs: RELEASE_LIMIT_MS })
    await Promise.allSettled(claims.map(give))
  }

  /** Asks, and once more if the connection broke: the same claim again gives the same answer. */
  async #ask(request: ClaimRequest): Promise<RawAnswer | undefined> {
    const deadline = performance.now() + CLAIM_LIMIT_MS
    const body = formatJson(request)
    for (let attempt = 1; ; attempt++) {
      const timeoutMs = Math.max(1, deadline - performance.now())
      try {
        return await ask(this.#aggregator, { method: 'POST', path: '/v1/claims', body, timeoutMs })
      } catch (error) {
        const isNobody = NOBODY.has((error as NodeJS.ErrnoException).code ?? '')
        // after a first attempt that broke off, the claim may have been granted all the same
        if (isNobody && attempt === 1) {
          this.#held.delete(request.claim!)
          return undefined
        }
        if (!isNobody && attempt === 1 && performance.now() < deadline) continue
        this.#log.warn({ aggregator: this.#aggregator, err: error }, 'the aggregator does not answer, going on without')
        return undefined
      }
    }
  }
}

type Refusal = ErrorJson & { conflicts?: Conflict[] }

function refusal(answer: Refusal): Error {
  return answer.conflicts?.length ? new ResourceTaken(answer.conflicts) : errorOfJson(answer)
}

function jsonOf({ body }: RawAnswer): unknown {
  try {
    return parseJson(body)
  } catch {
    return body
  }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/** A grant of these resources: as many values as were asked for, out of their ranges. */
function isGrant(value: unknown, resources: ClaimedResource[]): value is ClaimAnswer {
  if (!isObject(value) || !Array.isArray(value.chosen) || !Array.isArray(value.warnings)) return false
  const { chosen } = value
  const automatic = resources.filter(isAutomatic)
  return automatic.every(({ auto, count = 1 }, i) => {
    const values: unknown = chosen[i]
    const isInRange = (one: unknown) => typeof one === 'number' && one >= auto.min && one <= auto.max
    return Array.isArray(values) && values.length === count && values.every(isInRange)
  })
}

function isError(value: unknown): value is Refusal {
  return isObject(value) && typeof value.message === 'string' && Object.hasOwn(ERROR_CODES, String(value.codeName))
}
