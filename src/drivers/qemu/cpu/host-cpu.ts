// The host's CPU for capabilities (virCPUProbeHost, virCPUx86GetHost).
import type { HostCpuDef } from '../../../conf/host-cpu.ts'
import { cpuinfo } from '../../../host/cpuinfo.ts'
import { isUsable } from '../../../host/inherited-files.ts'
import { hostTopology } from '../../../host/topology.ts'
import type { Connect } from '../../connection.ts'
import { findEmulator } from '../capabilities/emulator.ts'
import { qemuCapabilities } from '../capabilities/qemu.ts'
import { msrFeatures } from './cpuid.ts'
import { libvirtFeatureName } from './feature-name.ts'
import { ownCpu } from './host-model.ts'
import { MSR_FEATURES } from './map.ts'

const KVM = '/dev/kvm'

type CpuConnect = Pick<Connect, 'hostArch' | 'cacheDir'>

const probed = new Map<string, Promise<HostCpuDef>>()

/**
 * The host's CPU; of architectures other than x86 only the topology is known. Looked at once (virQEMUDriverGetHostCPU).
 */
export function hostCpu(connect: CpuConnect): Promise<HostCpuDef> {
  const cpu = probed.get(connect.hostArch) ?? probe(connect)
  probed.set(connect.hostArch, cpu)
  return cpu
}

/**
 * Features of MSRs that only KVM may read. libvirt asks it by an ioctl (virHostCPUGetMSRFromKVM), which Node.js has not:
 * the host's QEMU has asked the same when it was probed with KVM.
 */
async function msrFeaturesOfKvm({ hostArch, cacheDir }: CpuConnect): Promise<string[]> {
  const binary = isUsable(KVM) && findEmulator(hostArch, hostArch)
  if (!binary) return []
  const qemu = await qemuCapabilities(binary, cacheDir, 'kvm').catch(() => undefined)
  const features = (qemu?.kvm && qemu.hostCpu?.features) || []
  return features.map(name => libvirtFeatureName(name, hostArch)).filter(name => MSR_FEATURES.has(name))
}

async function probe(connect: CpuConnect): Promise<HostCpuDef> {
  const arch = connect.hostArch
  const { sockets, cores, threads } = hostTopology()
  const topology = { sockets, dies: 1, clusters: 1, cores, threads }
  if (arch !== 'x86_64' && arch !== 'i686') return { arch, topology, features: [] }
  const { model, vendor, features } = ownCpu(msrFeatures() ?? (await msrFeaturesOfKvm(connect)))
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
      isUsable(KVM) && {
        counter: { name: 'tsc' as const, frequency: tscHz, scaling: flags.has('tsc_scale') }
      }),
    topology,
    ...(physicalAddressBits !== undefined && { maxphysaddr: { mode: 'emulate' as const, bits: physicalAddressBits } }),
    features: names
  }
}
