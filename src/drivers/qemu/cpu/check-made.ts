// The CPU that another QEMU has made for a guest, before this one is started: whether it can make the same.
import { hasCpuModel } from '../../../conf/domain/cpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import { isX86 } from '../machine-type.ts'
import { NOT_FOR_QEMU } from './guest.ts'
import { hostModel, offeredModels } from './host-model.ts'
import { allFeatures } from './model.ts'

const fail = errorsFrom('VIR_FROM_CPU')

/**
 * Tells features that a guest which is compared in full would miss: those its model lacks here, and those asked for beside
 * it that QEMU does not give. The start finds the same out when QEMU has made the CPU (virCPUx86UpdateLive).
 * @throws VIR_ERR_OPERATION_FAILED
 */
export function checkMadeCpu(def: DomainDef, context: QemuContext): void {
  const { cpu } = def
  if (!isX86(def) || !hasCpuModel(cpu) || cpu.check !== 'full' || cpu.mode !== 'custom') return
  const host = hostModel(context, def.type)
  if (!host) return
  const policies = new Map(cpu.features.map(({ name, policy }) => [name, policy]))
  const given = allFeatures(host.reported)
  const blockers = offeredModels(context.qemu).get(cpu.model?.name ?? '') ?? []
  const required = [...policies].filter(([name, policy]) => policy === 'require' && !NOT_FOR_QEMU.has(name))
  const missing = new Set([
    ...blockers.filter(name => policies.get(name) !== 'disable'),
    ...required.map(([name]) => name).filter(name => !given.has(name))
  ])
  if (missing.size === 0) return
  throw fail(
    'VIR_ERR_OPERATION_FAILED',
    `guest CPU doesn't match specification: missing features: ${[...missing].join(',')}`
  )
}
