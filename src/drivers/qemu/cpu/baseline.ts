// The CPU with the most features that all of some CPUs have (virCPUx86Baseline).
import type { CpuDef, CpuFeatureDef } from '../../../conf/domain/cpu.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { AnyCpu } from '../../../conf/host-cpu.ts'
import { describeCpu } from './compare.ts'
import { CPU_FEATURES, CPU_VENDORS, inMapOrder, UNMIGRATABLE_FEATURES } from './map.ts'
import { addRemoved, allFeatures, decode, modelNamed, type OfferedModels, setFeature } from './model.ts'

const fail = errorsFrom('VIR_FROM_CPU')
const failed = (message: string) => fail('VIR_ERR_OPERATION_FAILED', message)

const VENDORS = new Set(Object.values(CPU_VENDORS))

export interface BaselineOptions {
  /** the models to choose from; absent: all */
  offered?: OfferedModels
  /** features the result may have; absent: all */
  allowed?: ReadonlySet<string>
  /** leave out features that keep a guest from migrating */
  migratable: boolean
}

function knownVendor(name: string): string {
  if (!VENDORS.has(name)) throw failed(`Unknown CPU vendor ${name}`)
  return name
}

/**
 * The vendor all have, which the result shows only if every CPU does.
 * @throws VIR_ERR_OPERATION_FAILED when they differ
 */
function commonVendor(cpus: readonly AnyCpu[]): { vendor?: string; isShown: boolean } {
  let vendor: string | undefined
  for (const [i, any] of cpus.entries()) {
    const { vendor: own, model } = describeCpu(any)
    const { name, vendor: ofModel } = modelNamed(model!)
    if (i === 0) {
      vendor = own === undefined ? undefined : knownVendor(own)
      continue
    }
    if (own && ofModel && own !== ofModel) {
      throw failed(`CPU vendor ${ofModel} of model ${name} differs from vendor ${own}`)
    }
    const told = own ?? ofModel
    if (told === undefined) continue
    if (vendor === undefined) vendor = knownVendor(told)
    else if (vendor !== told) throw failed('CPU vendors do not match')
  }
  return { ...(vendor !== undefined && { vendor }), isShown: cpus.every(any => any.cpu.vendor !== undefined) }
}

/**
 * A guest's CPU that every one of these CPUs can run.
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_OPERATION_FAILED, VIR_ERR_INTERNAL_ERROR
 */
export function baselineCpu(cpus: readonly AnyCpu[], { offered, allowed, migratable }: BaselineOptions): CpuDef {
  if (cpus.length === 0) throw fail('VIR_ERR_INVALID_ARG', 'no CPUs given')
  const described = cpus.map(describeCpu)
  const nameless = described.findIndex(({ model }) => model === undefined)
  if (nameless >= 0) throw fail('VIR_ERR_INVALID_ARG', `no CPU model specified at index ${nameless}`)
  const sets = described.map(allFeatures)
  const { vendor, isShown } = commonVendor(cpus)
  const features = new Set(
    [...CPU_FEATURES].filter(name => sets.every(set => set.has(name)) && (allowed?.has(name) ?? true))
  )
  if (features.size === 0) throw failed('CPUs are incompatible')
  const models = [...new Set(described.map(({ model }) => model!))]
  const closest = decode(
    { features, ...(vendor !== undefined && { vendor }), family: 0, model: 0, stepping: 0 },
    { ...(offered && { offered }), preferred: models }
  )
  return {
    mode: 'custom',
    match: 'exact',
    model: {
      name: closest.model,
      fallback: models.length === 1 && closest.model === models[0] ? 'forbid' : 'allow'
    },
    ...(isShown && vendor !== undefined && { vendor }),
    features: closest.features.filter(({ name }) => !migratable || !UNMIGRATABLE_FEATURES.has(name))
  }
}

/** Every feature by name, those of the model included (virCPUx86ExpandFeatures). */
export function expandFeatures(cpu: CpuDef): CpuDef {
  const model = modelNamed(cpu.model!.name!)
  const features: CpuFeatureDef[] = inMapOrder(model.features).map(name => ({ policy: 'require', name }))
  for (const { name, policy } of cpu.features) {
    if (policy === 'require' || policy === 'disable') setFeature(features, name, policy)
  }
  addRemoved(features, model)
  return { ...cpu, features: features.sort((a, b) => (a.name < b.name ? -1 : 1)) }
}
