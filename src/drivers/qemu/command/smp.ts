// -smp: how many vCPUs, and how they are arranged
import { topologyVcpus } from '../../../conf/domain/cpu.ts'
import { bootVcpuCount } from '../../../conf/domain/vcpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import { VCPUS_WITHOUT_EIM } from '../device/iommu.ts'
import { isPseries, isQ35, isX86 } from '../machine-type.ts'
import { keyValue } from '../parts/props.ts'
import type { Command } from './command.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** vCPUs and their topology. @throws VIR_ERR_CONFIG_UNSUPPORTED for dies QEMU lacks (qemuBuildSmpCommandLine) */
export function smpArgs(command: Command): void {
  const { def, qemu } = command
  const { vcpu, cpu } = def
  const started = bootVcpuCount(def)
  const topology = cpu?.topology
  if (topology && topology.dies !== 1 && !qemu.has('smp-dies')) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Only 1 die per socket is supported')
  }
  if (topology && topology.clusters !== 1 && !qemu.has('smp-clusters')) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Only 1 cluster per die is supported')
  }
  command.add(
    '-smp',
    keyValue(String(started), {
      maxcpus: started === vcpu.max ? undefined : vcpu.max,
      sockets: topology?.sockets ?? vcpu.max,
      dies: qemu.has('smp-dies') ? topology?.dies : undefined,
      clusters: qemu.has('smp-clusters') ? topology?.clusters : undefined,
      cores: topology?.cores ?? 1,
      threads: topology?.threads ?? 1
    })
  )
}

/** @throws VIR_ERR_CONFIG_UNSUPPORTED; libvirt: qemuValidateDomainVCpuTopology */
export function validateSmp(def: DomainDef, { qemu }: QemuContext): void {
  const { vcpu, cpu, os, devices } = def
  const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
  const limit = qemu.machine(os.machine!)?.cpuMax
  if (limit && vcpu.max > limit) {
    throw unsupported(`Maximum CPUs greater than specified machine type limit ${limit}`)
  }
  if ((topologyVcpus(cpu) ?? vcpu.max) !== vcpu.max) {
    throw unsupported("CPU topology doesn't match maximum vcpu count")
  }
  const granularity = (isPseries(def) && cpu?.topology?.threads) || 1
  if ((vcpu.current ?? vcpu.max) % granularity !== 0) {
    throw unsupported(`vCPUs count must be a multiple of the vCPU hotplug granularity (${granularity})`)
  }
  if (!isX86(def) || vcpu.max <= VCPUS_WITHOUT_EIM) return
  if (!isQ35(def)) {
    throw unsupported(`more than ${VCPUS_WITHOUT_EIM} vCPUs are only supported on q35-based machine types`)
  }
  const [iommu] = devices.iommus as { driver?: { eim?: boolean } }[]
  if (!iommu?.driver?.eim) {
    throw unsupported(
      `more than ${VCPUS_WITHOUT_EIM} vCPUs require extended interrupt mode enabled on the iommu device`
    )
  }
}
