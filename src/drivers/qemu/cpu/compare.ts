// Whether this host can run a guest's CPU (virCPUx86Compare).
import type { CpuDef } from '../../../conf/domain/cpu.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { inMapOrder } from './map.ts'
import { allFeatures, featuresUnder, type PlainCpu } from './model.ts'

const fail = errorsFrom('VIR_FROM_CPU')

const incompatible = (reason: string, names?: ReadonlySet<string>) =>
  fail('VIR_ERR_CPU_INCOMPATIBLE', names ? `${reason}: ${inMapOrder(names).join(', ')}` : reason)

/** @throws VIR_ERR_CPU_INCOMPATIBLE naming the features that are missing, forbidden or too many */
export function checkHostRuns(host: PlainCpu | undefined, cpu: CpuDef): void {
  if (!host) throw incompatible('unknown host CPU')
  if (cpu.vendor !== undefined && cpu.vendor !== host.vendor) {
    throw incompatible(`host CPU vendor does not match required CPU vendor ${cpu.vendor}`)
  }
  const has = allFeatures(host)
  const under = (policy: Parameters<typeof featuresUnder>[0]) =>
    featuresUnder(policy, { ...(cpu.model?.name && { model: cpu.model.name }), features: cpu.features })
  const [force, require, optional, disable, forbid] = [
    under('force'),
    under('require'),
    under('optional'),
    under('disable'),
    under('forbid')
  ]
  const forbidden = new Set([...forbid].filter(name => has.has(name)))
  if (forbidden.size > 0) throw incompatible('Host CPU provides forbidden features', forbidden)
  const needed = [...require].filter(name => !force.has(name) && !optional.has(name) && !disable.has(name))
  const missing = new Set(needed.filter(name => !has.has(name)))
  if (missing.size > 0) throw incompatible('Host CPU does not provide required features', missing)
  if (cpu.match !== 'strict') return
  const named = new Set([...needed, ...optional, ...disable, ...force])
  const extra = new Set([...has].filter(name => !named.has(name)))
  if (extra.size > 0) throw incompatible('Host CPU does not strictly match guest CPU: Extra features', extra)
}
