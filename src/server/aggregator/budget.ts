// Budgets: the share of the host's memory, huge pages and CPUs that guests may have together.
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { errorsFrom } from '../../conf/error.ts'
import { orThrow, type Refuse } from '../../conf/refuse.ts'
import type { Allocation } from '../../state/allocation.ts'
import { type Ledger, poolOf } from './ledger.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Treatment of a claim that goes beyond a budget. */
export type Policy = 'refuse' | 'warn' | 'off'
const POLICIES: readonly string[] = ['refuse', 'warn', 'off'] satisfies Policy[]

export interface Overcommit {
  /** limit of all guests together, as a multiple of the host's amount */
  ratio: number
  policy: Policy
}

/** The counted kinds; their units are those of the allocations. */
export const COUNTED = ['memory', 'hugepages', 'vcpu'] as const
export type CountedKind = (typeof COUNTED)[number]
export type Overcommits = Record<CountedKind, Overcommit>

/** Huge pages cannot be had twice; memory and CPU time can, so there one is only warned. */
export const DEFAULT_OVERCOMMITS: Overcommits = {
  memory: { ratio: 1, policy: 'warn' },
  hugepages: { ratio: 1, policy: 'refuse' },
  vcpu: { ratio: 16, policy: 'warn' }
}

/**
 * Reads `--overcommit`: KIND=RATIO, KIND=POLICY or KIND=RATIO:POLICY, several with commas between them.
 * @throws VIR_ERR_INVALID_ARG
 */
export function parseOvercommits(text: string, onto: Overcommits = DEFAULT_OVERCOMMITS): Overcommits {
  const out = { ...onto }
  for (const part of text.split(',')) {
    const [kind = '', value = ''] = part.split('=')
    const words = value.split(':')
    const isNumber = (word: string) => /^\d+(\.\d+)?$/.test(word)
    const isKnown = (COUNTED as readonly string[]).includes(kind)
    if (!isKnown || !words.every(word => isNumber(word) || POLICIES.includes(word))) {
      throw fail(
        'VIR_ERR_INVALID_ARG',
        `overcommit '${part}' is not KIND=RATIO:POLICY, with ${COUNTED.join(', ')} and ${POLICIES.join(', ')}`
      )
    }
    const ratio = words.find(isNumber)
    const policy = words.find(word => !isNumber(word)) as Policy | undefined
    out[kind as CountedKind] = {
      ...out[kind as CountedKind],
      ...(ratio !== undefined && { ratio: Number(ratio) }),
      ...(policy && { policy })
    }
  }
  return out
}

/** The host's amount of each pool; 0 for pools it does not have. */
export type Capacity = (pool: string) => number

const HUGEPAGES = '/sys/kernel/mm/hugepages'
const KIB_PER_PAGE_DIR = /^hugepages-(\d+)kB$/

/** The host as it is now: memory that is not set aside for huge pages, the huge pages of each size, its CPUs. */
export const hostCapacity: Capacity = pool => {
  const [kind, size] = pool.split(' ')
  if (kind === 'vcpu') return availableParallelism()
  if (kind === 'hugepages') return hugepages().get(size ?? '') ?? 0
  const totalKiB = Number(/^MemTotal: *(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0)
  let hugeKiB = 0
  for (const [sizeKiB, count] of hugepages()) hugeKiB += Number(sizeKiB) * count
  return totalKiB - hugeKiB
}

/** Huge pages there are, by their size in KiB. */
function hugepages(): Map<string, number> {
  const out = new Map<string, number>()
  try {
    for (const name of readdirSync(HUGEPAGES)) {
      const size = KIB_PER_PAGE_DIR.exec(name)?.[1]
      if (size) out.set(size, Number(readFileSync(`${HUGEPAGES}/${name}/nr_hugepages`, 'utf8')))
    }
  } catch {}
  return out
}

/** The state of one pool, for `GET /v1/allocations`. */
export interface BudgetState {
  kind: string
  /** of huge pages, their size in KiB */
  key?: string
  used: number
  capacity: number
  /** limit of all guests together; absent if nobody counts */
  limit?: number
  policy: Policy
  exceeded: boolean
}

export class Budget {
  readonly #overcommits: Overcommits
  readonly #capacity: Capacity

  constructor(overcommits: Overcommits = DEFAULT_OVERCOMMITS, capacity: Capacity = hostCapacity) {
    this.#overcommits = overcommits
    this.#capacity = capacity
  }

  /**
   * Checks that a guest may have these amounts beside those in use.
   * @returns what to warn of
   * @throws VIR_ERR_RESOURCE_BUSY when the policy is to refuse
   */
  check(resources: readonly Allocation[], ledger: Ledger, refuse: Refuse = orThrow): string[] {
    const asked = new Map<string, number>()
    for (const one of resources) {
      if (one.amount !== undefined) asked.set(poolOf(one), (asked.get(poolOf(one)) ?? 0) + one.amount)
    }
    const warnings: string[] = []
    for (const [pool, amount] of asked) {
      if (amount === 0) continue
      const { limit, policy } = this.state(pool, ledger)
      const used = ledger.used(pool)
      if (limit === undefined || used + amount <= limit) continue
      const message = `${pool}: ${amount} more beside the ${used} in use is beyond the host's budget of ${limit}`
      if (policy === 'refuse') refuse(fail('VIR_ERR_RESOURCE_BUSY', message))
      else warnings.push(message)
    }
    return warnings
  }

  state(pool: string, ledger: Ledger): BudgetState {
    const [kind = '', key] = pool.split(' ')
    const isCounted = Object.hasOwn(this.#overcommits, kind)
    const { ratio, policy }: Overcommit = isCounted
      ? this.#overcommits[kind as CountedKind]
      : { ratio: 1, policy: 'off' }
    const capacity = this.#capacity(pool)
    const used = ledger.used(pool)
    const limit = policy === 'off' ? undefined : Math.floor(capacity * ratio)
    const of = { kind, ...(key !== undefined && { key }), used, capacity }
    return { ...of, ...(limit !== undefined && { limit }), policy, exceeded: limit !== undefined && used > limit }
  }

  /** The pools of every host and those in use. */
  states(ledger: Ledger): BudgetState[] {
    return [...new Set(['memory', 'vcpu', ...ledger.pools()])].sort().map(pool => this.state(pool, ledger))
  }
}
