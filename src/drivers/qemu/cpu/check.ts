// The partial check of a CPU: by QEMU's word where it knows the model, else by the map (qemuDomainCheckCPU).
import { errorsFrom } from '../../../conf/error.ts'
import type { AnyCpu } from '../../../conf/host-cpu.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import { type Comparison, compareCpu, describeCpu } from './compare.ts'
import { offeredModels } from './host-model.ts'
import { allFeatures, type PlainCpu } from './model.ts'
import { cpuModel } from './models.ts'

const fail = errorsFrom('VIR_FROM_CPU')

export interface CheckHost {
  /** the CPU QEMU can give */
  reported: PlainCpu | undefined
  /** the CPU to compare with by the map */
  compat: PlainCpu | undefined
}

/**
 * Tells whether this QEMU can give guests that CPU. A model that QEMU calls usable needs nothing of the map; models
 * newer than QEMU's telling what they lack go by that and by what is asked for beside the model.
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_INTERNAL_ERROR for names libvirt does not know
 */
export function checkDomainCpu(qemu: Qemu, { reported, compat }: CheckHost, any: AnyCpu): Comparison {
  const { model: name, features } = describeCpu(any)
  const blockers = name === undefined ? undefined : offeredModels(qemu).get(name)
  const isOff = (wanted: string) => features.some(one => one.name === wanted && one.policy === 'disable')
  if (blockers?.length === 0 && features.every(({ policy }) => policy === 'disable')) return { result: 'superset' }
  if (name === undefined || !reported || !blockers || usesMap(name)) return compareCpu(compat, any)
  const has = allFeatures(reported)
  const asked = any.of === 'guest' ? features.filter(({ policy }) => policy === 'require') : []
  const missing = [
    ...blockers.filter(blocker => !isOff(blocker)),
    ...asked.map(feature => feature.name).filter(feature => !has.has(feature))
  ]
  if (missing.length === 0) return { result: 'superset' }
  return { result: 'incompatible', reason: `Host CPU does not provide required features: ${missing.join(', ')}` }
}

function usesMap(name: string): boolean {
  const model = cpuModel(name)
  if (!model) throw fail('VIR_ERR_INVALID_ARG', `unknown CPU model ${name}`)
  return model.compatCheck
}
