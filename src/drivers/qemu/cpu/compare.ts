// Comparison of a host's CPU with a guest's, or with another host's (virCPUx86Compare).
import { isX86Arch } from '../../../conf/arch.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { AnyCpu } from '../../../conf/host-cpu.ts'
import { inMapOrder } from './map.ts'
import { allFeatures, type Described, featuresUnder, type PlainCpu } from './model.ts'

const fail = errorsFrom('VIR_FROM_CPU')

/** The result: the host's CPU is the same, has more, or cannot run the other, with the reason. */
export type Comparison = { result: 'identical' | 'superset' } | { result: 'incompatible'; reason: string }

/** The result with what stands in the way; features in the order of the map. */
const incompatible = (reason: string, names?: ReadonlySet<string>): Comparison => ({
  result: 'incompatible',
  reason: names ? `${reason}: ${inMapOrder(names).join(', ')}` : reason
})

/** A CPU's model and features; a host's are all there. */
export function describeCpu({ of, cpu }: AnyCpu): Described & { vendor?: string } {
  const model = of === 'host' ? cpu.model : cpu.model?.name
  const features = of === 'host' ? cpu.features.map(name => ({ name, policy: 'require' as const })) : cpu.features
  return { ...(model !== undefined && { model }), ...(cpu.vendor !== undefined && { vendor: cpu.vendor }), features }
}

/** Compares the host's CPU with another. @throws VIR_ERR_INTERNAL_ERROR for unknown models and features */
export function compareCpu(host: PlainCpu | undefined, given: AnyCpu): Comparison {
  if (!host) return incompatible('unknown host CPU')
  const { cpu } = given
  if (given.of === 'host' && !isX86Arch(given.cpu.arch)) {
    return incompatible(`CPU arch ${given.cpu.arch} does not match host arch`)
  }
  if (cpu.vendor !== undefined && cpu.vendor !== host.vendor) {
    return incompatible(`host CPU vendor does not match required CPU vendor ${cpu.vendor}`)
  }
  const has = allFeatures(host)
  const described = describeCpu(given)
  const under = (policy: Parameters<typeof featuresUnder>[0]) => featuresUnder(policy, described)
  const [force, require, optional, disable, forbid] = [
    under('force'),
    under('require'),
    under('optional'),
    under('disable'),
    under('forbid')
  ]
  const forbidden = new Set([...forbid].filter(name => has.has(name)))
  if (forbidden.size > 0) return incompatible('Host CPU provides forbidden features', forbidden)
  const needed = [...require].filter(name => !force.has(name) && !optional.has(name) && !disable.has(name))
  const missing = new Set(needed.filter(name => !has.has(name)))
  if (missing.size > 0) return incompatible('Host CPU does not provide required features', missing)
  const named = new Set([...needed, ...optional, ...disable, ...force])
  const extra = new Set([...has].filter(name => !named.has(name)))
  if (extra.size === 0) return { result: 'identical' }
  if (given.of === 'guest' && given.cpu.match === 'strict') {
    return incompatible('Host CPU does not strictly match guest CPU: Extra features', extra)
  }
  return { result: 'superset' }
}

/** The result for those who want an error instead. @throws VIR_ERR_CPU_INCOMPATIBLE with the reason */
export function refuseIncompatible(comparison: Comparison): void {
  if (comparison.result === 'incompatible') throw fail('VIR_ERR_CPU_INCOMPATIBLE', comparison.reason)
}
