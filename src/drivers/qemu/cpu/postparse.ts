// Defaults of <cpu> (qemuDomainDefSetDefaultCPU, qemuDomainDefCPUPostParse).
import { emptyCpu, hasCpuModel } from '../../../conf/domain/cpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import { isArm, isPpc64, isS390, isX86 } from '../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A guest without a CPU of its own gets the machine's, so that it stays the same over upgrades. */
export function defaultCpu(def: DomainDef, { qemu }: QemuContext): void {
  if (hasCpuModel(def.cpu)) return
  const anyAccelerator = isX86(def) || isS390(def) || isPpc64(def)
  if (!anyAccelerator && !(isArm(def) && def.type === 'qemu')) return
  const type = qemu.machine(def.os.machine!)?.defaultCpuType
  const name = type && qemu.cpuModels.find(model => model.type === type)?.name
  if (!name) return
  if (name === 'host' && def.type !== 'kvm') {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'QEMU reports invalid default CPU model "host" for non-kvm domain virt type')
  }
  const cpu = def.cpu ?? emptyCpu()
  if (name === 'host') def.cpu = { ...cpu, mode: isS390(def) ? 'host-model' : 'host-passthrough' }
  // The machine's own CPU may lack features on this host; QEMU leaves them out then, which no check may refuse.
  else
    def.cpu = {
      ...cpu,
      mode: 'custom',
      match: 'exact',
      check: 'none',
      model: { ...cpu.model, fallback: 'forbid', name }
    }
}

/** Checks SVE vector lengths against SVE; fills in migratability and check of a CPU by its mode. */
export function postParseCpu(def: DomainDef, { qemu }: QemuContext): void {
  const { cpu } = def
  if (!cpu) return
  if (cpu.features.some(({ name }) => name.startsWith('sve') && name !== 'sve')) {
    const sve = cpu.features.find(({ name }) => name === 'sve')
    if (sve?.policy === 'disable' || sve?.policy === 'forbid') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'SVE disabled, but SVE vector lengths provided')
    }
    if (sve) sve.policy = 'require'
    else cpu.features.push({ name: 'sve', policy: 'require' })
  }
  if (def.id === undefined && cpu.mode === 'host-passthrough') {
    cpu.migratable ??= qemu.has('cpu.migratable') ? true : isX86(def) ? false : undefined
  }
  if (!hasCpuModel(cpu)) return
  const host = cpu.mode === 'host-passthrough' || cpu.mode === 'maximum'
  cpu.check ??= host || (cpu.mode === 'custom' && def.type === 'qemu') ? 'none' : 'partial'
}
