// KVM's own counters of a guest and its vCPUs, by QEMU's query-stats: all the kernel has, described by a schema.
import { type TypedValue, typed } from '../../../conf/wire.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { query } from './query.ts'

type Target = 'vm' | 'vcpu'

interface QmpStats {
  'qom-path'?: string
  stats: { name: string; value: unknown }[]
}

interface StatSchema {
  name: string
  type: string
  unit?: string
}

/** Endings of counters' names by QAPI type; histograms are left out. */
const SUFFIX: Record<string, string> = { cumulative: 'sum', instant: 'cur', peak: 'max' }

const HALT_POLL = { success: 'halt_poll_success_ns', fail: 'halt_poll_fail_ns' }

type NamedStats = [name: string, value: TypedValue][]

/** Schemas by monitor: they do not change while QEMU runs. */
const schemas = new WeakMap<object, Promise<Map<string, StatSchema>>>()

function schemaOf(domain: QemuDomain): Promise<Map<string, StatSchema>> {
  const { monitor } = domain
  if (!monitor) return Promise.resolve(new Map())
  let known = schemas.get(monitor)
  if (!known) {
    known = query<{ stats: StatSchema[] }[]>(domain, 'query-stats-schemas').then(
      list => new Map((list ?? []).flatMap(({ stats }) => stats.map(one => [one.name, one] as const)))
    )
    schemas.set(monitor, known)
  }
  return known
}

const hasKvm = ({ def, context }: QemuDomain) => def.type === 'kvm' && context.qemu.has('query-stats')

/** Counters under the names virConnectGetAllDomainStats gives them (qemuDomainAddStatsFromHashTable). */
export function namedStats(stats: QmpStats['stats'], schema: ReadonlyMap<string, StatSchema>): NamedStats {
  return stats.flatMap(({ name, value }): NamedStats => {
    const { type = '', unit } = schema.get(name) ?? {}
    const suffix = SUFFIX[type]
    if (suffix === undefined) return []
    if (unit === 'boolean') return typeof value === 'boolean' ? [[`${name}.${suffix}`, { type: 'boolean', value }]] : []
    if (typeof value !== 'number' && typeof value !== 'bigint') return []
    return [[`${name}.${suffix}`, typed.ullong(value)]]
  })
}

const ask = (domain: QemuDomain, target: Target) => query<QmpStats[]>(domain, 'query-stats', { target })

/** The counters of the guest as a whole. */
export async function vmKvmStats(domain: QemuDomain): Promise<NamedStats> {
  if (!hasKvm(domain)) return []
  const [[found] = [], schema] = await Promise.all([ask(domain, 'vm'), schemaOf(domain)])
  return found ? namedStats(found.stats, schema) : []
}

/** The counters of each vCPU, by its index. */
export async function vcpuKvmStats(domain: QemuDomain): Promise<(index: number) => NamedStats> {
  if (!hasKvm(domain)) return () => []
  const [found = [], cpus = [], schema] = await Promise.all([
    ask(domain, 'vcpu'),
    query<{ 'cpu-index': number; 'qom-path': string }[]>(domain, 'query-cpus-fast'),
    schemaOf(domain)
  ])
  return index => {
    const path = cpus.find(cpu => cpu['cpu-index'] === index)?.['qom-path']
    const mine = path === undefined ? undefined : found.find(one => one['qom-path'] === path)
    return mine ? namedStats(mine.stats, schema) : []
  }
}

/** Time vCPUs have spent waiting for work before they slept; undefined where QEMU cannot tell. */
export async function haltPollNs(domain: QemuDomain): Promise<{ success: bigint; fail: bigint } | undefined> {
  if (!domain.context.qemu.has('query-stats')) return undefined
  const sums = { success: 0n, fail: 0n }
  if (!hasKvm(domain)) return sums
  const names = Object.values(HALT_POLL)
  const found = await query<QmpStats[]>(domain, 'query-stats', {
    target: 'vcpu',
    providers: [{ provider: 'kvm', names }]
  })
  if (!found) return undefined
  for (const { stats } of found) {
    for (const key of ['success', 'fail'] as const) {
      const value = stats.find(({ name }) => name === HALT_POLL[key])?.value
      if (typeof value !== 'number' && typeof value !== 'bigint') return undefined
      sums[key] += BigInt(value)
    }
  }
  return sums
}
