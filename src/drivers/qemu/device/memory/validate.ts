// QEMU's domain-wide checks of memory, NUMA, vCPUs and tuning.
import { hasHmat, numaCells } from '../../../../conf/domain/numa.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { systemPageKiB } from '../../../../host/memory.ts'

import type { QemuContext } from '../../context.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** Part of qemuValidateDomainDef. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateMemtune({ memtune }: DomainDef): void {
  if (memtune?.minGuaranteeKiB) throw unsupported("Parameter 'min_guarantee' not supported by QEMU.")
}

/** Cache allocation works through the kernel's KVM threads. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateResctrl({ cputune, type }: DomainDef): void {
  if (cputune && cputune.resctrls.length > 0 && type !== 'kvm') {
    throw unsupported('cachetune is only supported for KVM domains')
  }
}

/**
 * Automatic placement takes the advice of numad, which is asked at a start (qemuProcessPrepareDomainNUMAPlacement).
 * Differs from libvirt: it is never asked.
 */
export function refuseAutoPlacement({ vcpu, numatune }: DomainDef, { pretend }: QemuContext): void {
  if (pretend || (vcpu.placement !== 'auto' && numatune?.memory?.placement !== 'auto')) return
  throw unsupported('numad is not available on this host')
}

/** qemuValidateDomainDefMemory. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateMemoryBacking(def: DomainDef, { qemu }: QemuContext): void {
  const { hugepages, allocation, source, access } = def.memoryBacking ?? {}
  if (!hugepages) return
  if (allocation?.mode === 'ondemand') throw unsupported('hugepages are not allowed with memory allocation ondemand')
  if (allocation?.threads && !qemu.has('memory-backend-file.prealloc-threads')) {
    throw unsupported('preallocation threads are unsupported with this QEMU')
  }
  if (source === 'anonymous') throw unsupported('hugepages are not allowed with anonymous memory source')
  if (source === 'memfd' && !qemu.has('memory-backend-memfd.hugetlb')) {
    throw unsupported('hugepages is not supported with memfd memory source')
  }
  const ordinary = hugepages[0]?.sizeKiB === systemPageKiB()
  const hasRamId = qemu.machine(def.os.machine!)?.defaultRamId !== undefined
  if (!hasRamId && !ordinary && numaCells(def).length === 0 && access === 'shared') {
    throw unsupported(`memory access mode '${access}' not supported without guest numa node`)
  }
}

/** qemuValidateDomainDefNuma. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateHmat(def: DomainDef, { qemu }: QemuContext): void {
  if (hasHmat(def) && !qemu.has('numa.hmat')) throw unsupported('HMAT is not supported with this QEMU')
}
