// The host's CPU in the forms that guests are given (virQEMUCapsInitHostCPUModel).
import type { CpuFeatureDef } from '../../../conf/domain/cpu.ts'
import { type Cpuinfo, cpuinfo } from '../../../host/cpuinfo.ts'
import { isNative } from '../capabilities/emulator.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QemuContext } from '../context.ts'
import { cpuidFeatures, msrFeatures } from './cpuid.ts'
import { libvirtFeatureName } from './feature-name.ts'
import { CPU_FEATURES, CPU_VENDORS, MSR_FEATURES } from './map.ts'
import { allFeatures, type CpuData, decode, type OfferedModels, type PlainCpu, setFeature } from './model.ts'

export interface HostModel {
  /** the CPU of a guest with `host-model` that may migrate */
  migratable: PlainCpu
  /** the CPU QEMU can give, migration or not */
  reported: PlainCpu
  /** everything this host has, to check a guest's CPU against */
  full: PlainCpu
}

/** The x86 models QEMU has. */
export function offeredModels({ cpuModels, arch }: Qemu): OfferedModels {
  return new Map(
    cpuModels.map(({ name, blockers }) => [
      name,
      blockers === '' ? [] : blockers.split(' ').map(blocker => libvirtFeatureName(blocker, arch))
    ])
  )
}

/** The host's model, undefined where guests are of another architecture or QEMU does not tell. */
export function hostModel(
  { qemu, hostArch }: Pick<QemuContext, 'qemu' | 'hostArch'>,
  type: string
): HostModel | undefined {
  const { hostCpu, arch } = qemu
  if (!hostCpu || !isNative(hostArch, arch) || !isX86(arch)) return undefined
  const offered = offeredModels(qemu)
  const data = (without: string[]): CpuData => ({
    features: new Set(
      hostCpu.features.filter(name => !without.includes(name)).map(name => libvirtFeatureName(name, arch))
    ),
    ...(hostCpu.vendor && CPU_VENDORS[hostCpu.vendor] && { vendor: CPU_VENDORS[hostCpu.vendor] }),
    family: hostCpu.family,
    model: hostCpu.model,
    stepping: hostCpu.stepping
  })
  const reported = decode(known(data([])), { offered })
  const migratable = decode(known(data(hostCpu.unmigratable)), { offered })
  const full = type === 'kvm' ? withOwnFeatures(reported) : reported
  return qemu.has('cpu-unavailable-features')
    ? { migratable, reported, full }
    : { migratable: withoutMsr(migratable), reported: withoutMsr(reported), full: withoutMsr(full) }
}

const withoutMsr = (cpu: PlainCpu): PlainCpu => ({
  ...cpu,
  features: cpu.features.filter(({ name }) => !MSR_FEATURES.has(name))
})

const isX86 = (arch: string) => arch === 'i686' || arch === 'x86_64'

/** Properties of QEMU's CPUs that are no features of libvirt's map do not count. */
const known = (data: CpuData): CpuData => ({
  ...data,
  features: new Set([...data.features].filter(name => CPU_FEATURES.has(name)))
})

/**
 * The host's own CPU, whatever any QEMU makes of it (virCPUProbeHost).
 * @param msr the features its MSRs tell of
 */
export const ownCpu = (msr: readonly string[]): PlainCpu => decode(known(ownData(cpuinfo(), msr)), { isHost: true })

/** KVM may run what it does not offer by default: the host's own features join in. */
function withOwnFeatures(reported: PlainCpu): PlainCpu {
  // MSRs that only KVM may read are in its report already
  const host = decode(known(ownData(cpuinfo(), msrFeatures() ?? [])))
  const features: CpuFeatureDef[] = [...host.features]
  for (const name of allFeatures(reported)) setFeature(features, name, 'require')
  return { ...host, features }
}

/** Linux's names of features where they are not the map's with other signs between the words. */
const LINUX_NAMES: Record<string, string> = {
  cqm: 'cmt',
  cqm_mbm_local: 'mbm_local',
  cqm_mbm_total: 'mbm_total',
  dts: 'ds',
  nonstop_tsc: 'invtsc',
  pausefilter: 'pause-filter',
  pclmulqdq: 'pclmuldq',
  tsc_deadline_timer: 'tsc-deadline',
  tsxldtrk: 'tsx-ldtrk'
}

function featureOfFlag(flag: string): string {
  const spellings = [LINUX_NAMES[flag], flag, ...['-', '', '.'].map(sign => flag.replaceAll('_', sign))]
  return spellings.find(name => name !== undefined && CPU_FEATURES.has(name)) ?? flag
}

function ownData({ flags, vendor, family, model, stepping }: Cpuinfo, msr: readonly string[]): CpuData {
  const features = new Set([...(cpuidFeatures() ?? [...flags].map(featureOfFlag)), ...msr])
  // Linux has no flag for what it turns on itself.
  if (features.has('xsave')) features.add('osxsave')
  return { features, ...(CPU_VENDORS[vendor] && { vendor: CPU_VENDORS[vendor] }), family, model, stepping }
}
