// CPUs as sets of features: those of a definition, and the model closest to a set (libvirt 11.3, src/cpu/cpu_x86.c).
import type { CpuFeatureDef, FeaturePolicy } from '../../../conf/domain/cpu.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { CPU_FEATURES, inMapOrder } from './map.ts'
import { type CpuModel, cpuModel, cpuModels } from './models.ts'

const fail = errorsFrom('VIR_FROM_CPU')

/** A CPU by CPUID, as far as models go. */
export interface CpuData {
  features: ReadonlySet<string>
  /** libvirt's name of the vendor */
  vendor?: string
  family: number
  model: number
  stepping: number
}

/** A CPU by its model and how it differs from it. */
export interface PlainCpu {
  model: string
  vendor?: string
  features: CpuFeatureDef[]
}

/** Models a hypervisor has, with the features each of them needs that this host lacks. */
export type OfferedModels = ReadonlyMap<string, readonly string[]>

/** A CPU in the form of definitions. */
export type Described = { model?: string; features: CpuFeatureDef[] }

/** The model of that name. @throws VIR_ERR_INTERNAL_ERROR for one libvirt does not know */
export function modelNamed(name: string): CpuModel {
  const model = cpuModel(name)
  if (!model) throw fail('VIR_ERR_INTERNAL_ERROR', `Unknown CPU model ${name}`)
  return model
}

function knownFeature(name: string): string {
  if (!CPU_FEATURES.has(name)) throw fail('VIR_ERR_INTERNAL_ERROR', `Unknown CPU feature ${name}`)
  return name
}

/** All features of a CPU: those of its model, with what is required and without what is disabled. */
export function allFeatures({ model, features }: Described): Set<string> {
  const all = new Set(model === undefined ? [] : modelNamed(model).features)
  for (const { name, policy } of features) {
    if (policy === 'optional') continue
    if (policy === 'force' || policy === 'require') all.add(knownFeature(name))
    else all.delete(knownFeature(name))
  }
  return all
}

/** The features a definition puts under one policy; what the model has is required. */
export function featuresUnder(policy: FeaturePolicy, { model, features }: Described): Set<string> {
  const chosen = features.filter(feature => feature.policy === policy).map(({ name }) => knownFeature(name))
  const inherited = policy === 'require' && model !== undefined ? modelNamed(model).features : []
  return new Set([...inherited, ...chosen])
}

/** Sets the policy of a feature, adding it at the end. */
export function setFeature(features: CpuFeatureDef[], name: string, policy: FeaturePolicy): void {
  const found = features.find(feature => feature.name === name)
  if (found) found.policy = policy
  else features.push({ policy, name })
}

/**
 * Features that left the model in QEMU are told to it one way or the other.
 * @param policy of those the definition does not name (virCPUx86AddRemovedFeatures)
 */
export function addRemoved(
  features: CpuFeatureDef[],
  { removed }: CpuModel,
  policy: 'disable' | 'require' = 'disable'
): void {
  for (const name of removed) {
    if (!features.some(feature => feature.name === name)) features.push({ policy, name })
  }
}

const difference = (from: Iterable<string>, without: ReadonlySet<string>): Set<string> =>
  new Set([...from].filter(name => !without.has(name)))

/** The CPU as that model would be written; what blocks the model on this host is turned off. */
function asModel(data: CpuData, model: CpuModel, blockers: readonly string[], isHost: boolean): PlainCpu {
  const more = difference(data.features, model.features)
  const less = difference(model.features, data.features)
  for (const blocker of blockers) if (CPU_FEATURES.has(blocker) && !more.has(blocker)) less.add(blocker)
  const under = (policy: FeaturePolicy, names: ReadonlySet<string>) => inMapOrder(names).map(name => ({ policy, name }))
  const features = [...under('require', more), ...under('disable', less)]
  if (!isHost) addRemoved(features, model)
  return { model: model.name, features }
}

/**
 * Distance of a candidate from the CPU: each feature on counts one, features off count two, three, and so on. The count
 * of those off stops early, as libvirt's does: every one found shortens the list it looks at.
 */
function distance({ features }: PlainCpu): { total: number; off: number } {
  let on = features.length
  let off = 0
  let penalty = 2
  for (let i = 0; i < on; i++) {
    if (features[i]!.policy !== 'disable') continue
    on--
    off += penalty++
  }
  return { total: on + off, off }
}

function isBetter(candidate: PlainCpu, than: PlainCpu): boolean {
  const [a, b] = [distance(candidate), distance(than)]
  return a.total < b.total || (a.total === b.total && a.off < b.off)
}

/** Transactional memory of these Intel CPUs is broken. */
function hasBrokenTsx({ vendor, family, model, stepping }: CpuData): boolean {
  return vendor === 'Intel' && family === 6 && ([60, 69, 70].includes(model) || (model === 63 && stepping < 4))
}

export interface DecodeOptions {
  /** models to choose from; absent: all */
  offered?: OfferedModels
  /** a host's CPU has all its model has: models with more do not fit */
  isHost?: boolean
  /** models to choose before others: a single one at once, of several one that has less to turn off */
  preferred?: readonly string[]
}

/**
 * The model closest to what a CPU has, newest first; one with the CPU's own family and model goes before others.
 * @throws VIR_ERR_INTERNAL_ERROR when none fits the vendor
 */
export function decode(data: CpuData, { offered, isHost = false, preferred = [] }: DecodeOptions = {}): PlainCpu {
  const broken = new Set(hasBrokenTsx(data) ? ['hle', 'rtm'] : [])
  const seen = { ...data, features: difference(data.features, broken) }
  const fits = (model: CpuModel) => model.hasSignature(data)
  let best: { model: CpuModel; cpu: PlainCpu } | undefined
  for (const model of cpuModels().reverse()) {
    const blockers = offered ? offered.get(model.name) : []
    if (!blockers || (data.vendor && model.vendor && data.vendor !== model.vendor)) continue
    if (!(isHost ? model.host : model.guest)) continue
    const cpu = asModel(seen, model, blockers, isHost)
    if (isHost && cpu.features.some(({ policy }) => policy === 'disable')) continue
    const isPreferred = preferred.includes(model.name)
    if (isPreferred && preferred.length === 1) {
      best = { model, cpu }
      break
    }
    const decides = best && fits(model) !== fits(best.model) ? fits(model) : undefined
    const isChosen = (than: PlainCpu) => isBetter(cpu, than) || (isPreferred && distance(cpu).off < distance(than).off)
    if (!best || (decides ?? isChosen(best.cpu))) best = { model, cpu }
  }
  if (!best) throw fail('VIR_ERR_INTERNAL_ERROR', 'Cannot find suitable CPU model for given data')
  return { ...best.cpu, ...(data.vendor && { vendor: data.vendor }) }
}

/** CPUID of a CPU of that model. */
export function dataOfModel(cpu: Described & { model: string }): CpuData {
  const { vendor, signatures } = modelNamed(cpu.model)
  const { family, model, first } = signatures[0] ?? { family: 0, model: 0, first: 0 }
  return { features: allFeatures(cpu), ...(vendor && { vendor }), family, model, stepping: first }
}
