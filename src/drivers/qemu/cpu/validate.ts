// Checks of <cpu> against this QEMU and this host (qemuValidateDomainDefCpu).
import { type CpuDef, hasCpuModel } from '../../../conf/domain/cpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { cpuinfo } from '../../../host/cpuinfo.ts'
import type { QemuContext } from '../context.ts'
import { isX86 } from '../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** Checks <cpu> (qemuValidateDomainDefCpu). @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateCpu(def: DomainDef, context: QemuContext): void {
  const { cpu } = def
  if (!cpu) return
  if (cpu.maxphysaddr) validateAddress(def, cpu.maxphysaddr, context)
  if (cpu.cache) validateCache(def, cpu, cpu.cache)
  if (hasCpuModel(cpu)) validateMode(cpu, context)
}

function validateAddress(
  def: DomainDef,
  { mode, bits }: NonNullable<CpuDef['maxphysaddr']>,
  { pretend }: QemuContext
): void {
  const what = 'CPU maximum physical address'
  if (!isX86(def)) {
    throw unsupported(`${what} bits specification is not supported for '${def.os.arch}' architecture`)
  }
  if (mode === 'passthrough') {
    if (bits !== undefined) {
      throw unsupported(`${what} bits number specification cannot be used with mode='passthrough'`)
    }
    return
  }
  // libvirtd checks this only once it has probed the host's CPU, which domxml-to-native does not make it do
  const { physicalAddressBits } = cpuinfo()
  if (!pretend && physicalAddressBits !== undefined && bits !== undefined && bits > physicalAddressBits) {
    throw unsupported('The number of virtual CPU address bits cannot exceed the number supported by the host CPU')
  }
}

function validateCache(def: DomainDef, cpu: CpuDef, { mode, level }: NonNullable<CpuDef['cache']>): void {
  if (!isX86(def)) throw unsupported(`CPU cache specification is not supported for '${def.os.arch}' architecture`)
  if (mode === 'emulate') {
    if (level !== 3) throw unsupported("CPU cache mode 'emulate' can only be used with level='3'")
    return
  }
  if (mode === 'passthrough' && cpu.mode !== 'host-passthrough' && cpu.mode !== 'maximum') {
    throw unsupported(`CPU cache mode '${mode}' can only be used with 'host-passthrough' / 'maximum' CPUs`)
  }
  if (level !== undefined) throw unsupported(`unsupported CPU cache level for mode '${mode}'`)
}

function validateMode({ mode, migratable }: CpuDef, { qemu }: QemuContext): void {
  if (mode === 'host-passthrough' && migratable && !qemu.has('cpu.migratable')) {
    throw unsupported('Migratable attribute for host-passthrough CPU is not supported by this QEMU binary')
  }
  if (mode === 'maximum' && !qemu.cpuModels.some(({ name }) => name === 'max')) {
    throw unsupported('maximum CPU is not supported by QEMU binary')
  }
}
