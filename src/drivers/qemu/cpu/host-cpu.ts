// The host's CPU for capabilities (virCPUProbeHost, virCPUx86GetHost).
import type { HostCpuDef } from '../../../conf/host-cpu.ts'
import { cpuinfo } from '../../../host/cpuinfo.ts'
import { isUsable } from '../../../host/inherited-files.ts'
import { hostTopology } from '../../../host/topology.ts'
import { ownCpu } from './host-model.ts'

const probed = new Map<string, HostCpuDef>()

/**
 * The host's CPU; of architectures other than x86 only the topology is known. Looked at once (virQEMUDriverGetHostCPU).
 */
export function hostCpu(arch: string): HostCpuDef {
  const cpu = probed.get(arch) ?? probe(arch)
  probed.set(arch, cpu)
  return cpu
}

function probe(arch: string): HostCpuDef {
  const { sockets, cores, threads } = hostTopology()
  const topology = { sockets, dies: 1, cores, threads }
  if (arch !== 'x86_64' && arch !== 'i686') return { arch, topology, features: [] }
  const { model, vendor, features } = ownCpu()
  const { microcode, family, model: number, stepping, tscHz, flags, physicalAddressBits } = cpuinfo()
  const names = features.map(({ name }) => name)
  return {
    arch,
    model,
    ...(vendor !== undefined && { vendor }),
    ...(Number(microcode) > 0 && { microcode: Number(microcode) }),
    signature: { family, model: number, stepping },
    // libvirt asks KVM for the rate, so a host without KVM shows none
    ...(tscHz !== undefined &&
      names.includes('invtsc') &&
      isUsable('/dev/kvm') && {
        counter: { name: 'tsc' as const, frequency: tscHz, scaling: flags.has('tsc_scale') }
      }),
    topology,
    ...(physicalAddressBits !== undefined && { maxphysaddr: { mode: 'emulate' as const, bits: physicalAddressBits } }),
    features: names
  }
}
