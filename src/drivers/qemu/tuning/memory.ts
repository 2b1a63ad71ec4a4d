// Limits of the memory a guest's process may take of the host, in KiB.
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type TypedParams, typed } from '../../../conf/wire.ts'
import { type Group, groupWith, type MemoryLimit, memoryLimit, UNLIMITED_KIB } from '../../../host/cgroup.ts'
import type { Meant } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { MEMORY_LIMITS } from '../process/tuning/limits.ts'
import { inSteps } from './steps.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')

/** The API's names, in the order they are told in. */
const NAMES = { hard: 'hard_limit', soft: 'soft_limit', swapHard: 'swap_hard_limit' } as const

export type MemoryValues = Partial<Record<(typeof NAMES)[MemoryLimit], bigint>>

/** @throws VIR_ERR_OPERATION_INVALID */
function memoryGroup({ running }: QemuDomain): Group {
  const group = groupWith(running.cgroups, 'memory')
  if (!group) throw fail('VIR_ERR_OPERATION_INVALID', 'cgroup memory controller is not mounted')
  return group
}

const limitIn = ({ memtune }: DomainDef, limit: MemoryLimit): bigint =>
  BigInt(memtune?.[`${limit}LimitKiB`] ?? UNLIMITED_KIB)

/** The limits of a definition; of the running guest as the kernel has them (qemuDomainGetMemoryParameters). */
export async function memoryParameters(domain: QemuDomain, { live, config }: Meant): Promise<TypedParams> {
  const group = live && memoryGroup(domain)
  const out: TypedParams = {}
  for (const [limit] of MEMORY_LIMITS) {
    const isCounted = group && (limit !== 'swapHard' || memoryLimit.isThere(group, limit))
    const now = isCounted ? await memoryLimit.get(group, limit) : live ? UNLIMITED_KIB : limitIn(config!, limit)
    out[NAMES[limit]] = typed.ullong(now)
  }
  return out
}

/**
 * Sets limits, all or none (virDomainCgroupSetMemoryLimitParameters).
 * @throws VIR_ERR_INVALID_ARG for a limit of memory above that of memory and swap, VIR_ERR_OPERATION_INVALID without the
 *   controller, VIR_ERR_SYSTEM_ERROR
 */
export async function setMemoryParameters(domain: QemuDomain, given: MemoryValues, meant: Meant): Promise<void> {
  const { live } = meant
  const group = live && memoryGroup(domain)
  const wanted = (limit: MemoryLimit) => given[NAMES[limit]]
  if ((wanted('hard') ?? wanted('swapHard')) !== undefined) {
    const hard = wanted('hard') ?? limitIn(domain.def, 'hard')
    if (hard > (wanted('swapHard') ?? limitIn(domain.def, 'swapHard'))) {
      const what = 'memory hard_limit tunable value must be lower than or equal to swap_hard_limit'
      throw failDomain('VIR_ERR_INVALID_ARG', what)
    }
  }
  await inSteps(async step => {
    // the kernel keeps the limit of memory below that of both: it goes down first and up last
    const isLower = live && limitIn(live, 'hard') > (wanted('hard') ?? 0n)
    const order: MemoryLimit[] = isLower ? ['soft', 'hard', 'swapHard'] : ['soft', 'swapHard', 'hard']
    for (const limit of order) {
      const kib = wanted(limit)
      if (!group || kib === undefined) continue
      const before = await memoryLimit.get(group, limit)
      await step(
        () => memoryLimit.set(group, limit, kib),
        () => memoryLimit.set(group, limit, before)
      )
    }
    domain.change(meant, def => {
      const limits = MEMORY_LIMITS.flatMap(([limit, key]) => {
        const kib = wanted(limit)
        return kib === undefined ? [] : [[key, kib >= UNLIMITED_KIB ? undefined : Number(kib)]]
      })
      return { ...def, memtune: { ...def.memtune, ...Object.fromEntries(limits) } }
    })
  })
}
