// CPUs as documents: comparing them, finding what they have in common, naming models (virCPUCompareXML, virCPUBaseline,
// virCPUGetModels).
import { archFamily, isArmArch, isPpc64Arch, isS390Arch, isX86Arch } from '../../../conf/arch.ts'
import { type CpuDef, formatCpu } from '../../../conf/domain/cpu.ts'
import { architecture } from '../../../conf/domain/os-type.ts'
import { checkNames } from '../../../conf/domain-xml.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import { type AnyCpu, type HostCpuDef, parseAnyCpu } from '../../../conf/host-cpu.ts'
import { formatXml } from '../../../conf/xml.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import { baselineCpu, expandFeatures } from './baseline.ts'
import { checkDomainCpu } from './check.ts'
import { type Comparison, compareCpu, describeCpu, refuseIncompatible } from './compare.ts'
import { libvirtFeatureName } from './feature-name.ts'
import { NOT_FOR_QEMU } from './guest.ts'
import { offeredModels } from './host-model.ts'
import type { PlainCpu } from './model.ts'
import { cpuModelNames } from './models.ts'

const fail = errorsFrom('VIR_FROM_CPU')
const failQemu = errorsFrom('VIR_FROM_QEMU')
const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')

const PPC64_MODELS = ['POWER6', 'POWER7', 'POWER8', 'POWER9', 'POWER10', 'POWERPC_e5500', 'POWERPC_e6500']

interface CpuDriver {
  serves(arch: string): boolean
  /** the models it knows, none where QEMU's are taken as they are */
  models: () => string[]
  /** QEMU itself finds out if it can run a CPU: here any is as good as the host's */
  runsAny?: true
}

/** libvirt's CPU drivers. */
const DRIVERS: CpuDriver[] = [
  { serves: isX86Arch, models: cpuModelNames },
  { serves: isPpc64Arch, models: () => PPC64_MODELS },
  { serves: isS390Arch, models: () => [], runsAny: true },
  { serves: isArmArch, models: () => [] },
  { serves: archFamily(/^(riscv64|loongarch64)$/), models: () => [], runsAny: true }
]

/** The driver of an architecture. @throws VIR_ERR_NO_SUPPORT where libvirt has none */
function driverOf(arch: string) {
  const driver = DRIVERS.find(one => one.serves(arch))
  if (!driver) throw fail('VIR_ERR_NO_SUPPORT', `'${arch}' architecture is not supported by CPU driver`)
  return driver
}

/** Models of an architecture by name (virCPUGetModels). @throws VIR_ERR_INVALID_ARG, VIR_ERR_NO_SUPPORT */
export function modelNames(arch: string): string[] {
  if (architecture.parse(arch) === undefined) {
    throw failQemu('VIR_ERR_INVALID_ARG', `cannot find architecture ${arch}`)
  }
  return driverOf(arch).models()
}

/** A host to compare with: a model and its features, or a whole description. */
type HostSide = { model: string; vendor?: string; plain: PlainCpu['features'] } | HostCpuDef

function plainOf(host: HostSide): PlainCpu {
  if ('plain' in host) return { ...host, features: host.plain }
  const { features, model } = describeCpu({ of: 'host', cpu: host })
  return { model: model!, ...(host.vendor !== undefined && { vendor: host.vendor }), features }
}

/**
 * Compares a CPU with a host's.
 * @throws VIR_ERR_CPU_INCOMPATIBLE with the reason if asked to, and the errors of reading XML
 */
export function compareXml(
  arch: string,
  host: HostSide | undefined,
  xml: string,
  failIncompatible: boolean,
  validate: boolean
): Comparison['result'] {
  const cpu = readCpu(xml, validate)
  if (driverOf(arch).runsAny) return 'identical'
  if (!isX86Arch(arch)) throw fail('VIR_ERR_NO_SUPPORT', `cannot compare CPUs of ${arch} architecture`)
  const comparison = compareCpu(host && plainOf(host), cpu)
  if (failIncompatible) refuseIncompatible(comparison)
  return comparison.result
}

/**
 * Compares a CPU with the one a QEMU can give guests.
 * @throws VIR_ERR_CPU_INCOMPATIBLE with the reason if asked to, and the errors of reading XML
 */
export function hypervisorCompareXml(
  qemu: Qemu,
  reported: PlainCpu,
  xml: string,
  failIncompatible: boolean,
  validate: boolean
): Comparison['result'] {
  const comparison = checkDomainCpu(qemu, { reported, compat: reported }, readCpu(xml, validate))
  if (failIncompatible) refuseIncompatible(comparison)
  return comparison.result
}

const readCpu = (xml: string, validate: boolean): AnyCpu =>
  parseAnyCpu(xml, validate ? { check: (root, names) => checkNames(root, names, 'cpu.rng') } : {})

/** Reads a list of CPUs for `api`; with `as` all are hosts'. @throws VIR_ERR_INVALID_ARG for an empty list */
export function parseCpus(xmlCPUs: readonly string[], api: string, as?: 'host'): AnyCpu[] {
  if (xmlCPUs.length === 0) throw badArgument(`xmlCPUs in ${api} must not be NULL`)
  return xmlCPUs.map(xml => parseAnyCpu(xml, as === undefined ? {} : { as }))
}

export interface BaselineAsked {
  /** without features that keep a guest from migrating */
  migratable: boolean
  /** with every feature by name */
  expand: boolean
}

const formatted = (cpu: CpuDef, expand: boolean) => formatXml(formatCpu(expand ? expandFeatures(cpu) : cpu))

/** The CPU that guests of all these hosts can have, any model of libvirt's. */
export function baselineXml(xmlCPUs: readonly string[], { migratable, expand }: BaselineAsked): string {
  const cpus = parseCpus(xmlCPUs, 'virConnectBaselineCPU', 'host')
  const [first] = cpus
  const arch = first!.of === 'host' ? first!.cpu.arch : ''
  driverOf(arch)
  // virCPUarmBaseline: the first one's model
  if (isArmArch(arch)) {
    const name = describeCpu(first!).model!
    return formatted({ mode: 'custom', match: 'exact', model: { name, fallback: 'allow' }, features: [] }, false)
  }
  if (!isX86Arch(arch)) throw fail('VIR_ERR_NO_SUPPORT', `cannot compute baseline CPU of ${arch} architecture`)
  const cpu = baselineCpu(cpus, { migratable })
  return formatted({ ...cpu, features: cpu.features.filter(({ name }) => !NOT_FOR_QEMU.has(name)) }, expand)
}

/** The CPU that QEMU can give to guests of all these CPUs, of the models it has. */
export function hypervisorBaselineXml(
  cpus: AnyCpu[],
  qemu: Qemu,
  { migratable, expand, ignoreHost }: BaselineAsked & { ignoreHost: boolean }
): string {
  const { arch } = qemu
  const hostCpu = ignoreHost ? undefined : qemu.hostCpu
  const allowed =
    hostCpu &&
    new Set(
      hostCpu.known
        .filter(name => !migratable || !hostCpu.unmigratable.includes(name))
        .map(name => libvirtFeatureName(name, arch))
    )
  // QEMU itself has told what migrates.
  const cpu = baselineCpu(cpus, {
    offered: offeredModels(qemu),
    ...(allowed && { allowed }),
    migratable: migratable && !allowed
  })
  const limit = addressLimit(cpus)
  return formatted(
    {
      ...cpu,
      model: { ...cpu.model!, fallback: 'forbid' },
      ...(limit !== undefined && { maxphysaddr: { mode: 'passthrough', limit } })
    },
    expand
  )
}

/** The narrowest physical address of those CPUs, if each tells of one. */
function addressLimit(cpus: readonly AnyCpu[]): number | undefined {
  const limits = cpus.map(({ cpu }) => cpu.maxphysaddr?.limit)
  return limits.every(limit => limit !== undefined) ? Math.min(...limits) : undefined
}
