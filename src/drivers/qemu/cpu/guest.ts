// The CPU of a guest that starts: host-model and relative definitions made absolute, models QEMU lacks replaced
// (qemuProcessUpdateGuestCPU, virCPUx86Update, virCPUx86Translate).
import { type CpuDef, type CpuFeatureDef, hasCpuModel } from '../../../conf/domain/cpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { cpuinfo } from '../../../host/cpuinfo.ts'
import { isNative } from '../capabilities/emulator.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QemuContext } from '../context.ts'
import { isPpc64, isX86 } from '../machine-type.ts'
import { checkDomainCpu } from './check.ts'
import { refuseIncompatible } from './compare.ts'
import { type HostModel, hostModel, offeredModels } from './host-model.ts'
import { CPU_FEATURES, MSR_FEATURES } from './map.ts'
import { addRemoved, allFeatures, dataOfModel, decode, modelNamed, type PlainCpu, setFeature } from './model.ts'
import { cpuModel } from './models.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failCpu = errorsFrom('VIR_FROM_CPU')

/**
 * Features of the host's own bookkeeping, that the guest's kernel turns on, or that QEMU never knew: nothing to tell it
 * (virQEMUCapsCPUFilterFeatures).
 */
export const NOT_FOR_QEMU: ReadonlySet<string> = new Set([
  'cmt',
  'mbm_total',
  'mbm_local',
  'osxsave',
  'ospke',
  'vmx-ept-uc',
  'vmx-ept-wb',
  'vmx-invvpid-single-context'
])

/** Features QEMU turns on where the guest's topology has more than one CPU of a kind. */
const OF_TOPOLOGY: ReadonlySet<string> = new Set(['ht', 'cmp_legacy'])

/** Difference between a guest's TSC and the host's that needs no scaling, in millionths. */
const TSC_TOLERANCE_PPM = 250n

/** The features' part of qemuProcessStartValidate. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateFeaturesStart(def: DomainDef, { qemu }: QemuContext): void {
  if (!isX86(def)) return
  const features = def.cpu?.features ?? []
  const unknown = features.find(({ name }) => !CPU_FEATURES.has(name))
  if (unknown) throw failCpu('VIR_ERR_CONFIG_UNSUPPORTED', `unknown CPU feature: ${unknown.name}`)
  const msr = features.filter(({ name }) => MSR_FEATURES.has(name)).map(({ name }) => name)
  if (msr.length > 0 && !qemu.has('cpu-unavailable-features')) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Some features cannot be reliably used with this QEMU: ${msr.join(', ')}`)
  }
}

/** qemuProcessStartValidateTSC. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateTscStart({ clock }: DomainDef): void {
  const wanted = clock.timers.find(({ name, frequencyHz }) => name === 'tsc' && frequencyHz)?.frequencyHz
  const { tscHz, flags } = cpuinfo()
  if (!wanted || !tscHz || flags.has('tsc_scale') || flags.has('vmx')) return
  const tolerance = (tscHz * TSC_TOLERANCE_PPM) / 1_000_000n
  const [low, high] = [tscHz - tolerance, tscHz + tolerance]
  if (wanted >= low && wanted <= high) return
  throw fail(
    'VIR_ERR_CONFIG_UNSUPPORTED',
    `Requested TSC frequency ${wanted} Hz is outside tolerance range ([${low}, ${high}] Hz) around host frequency ${tscHz} Hz and TSC scaling is not supported by the host CPU`
  )
}

/**
 * Turns the CPU of a definition into the one for QEMU's command line (qemuProcessUpdateGuestCPU).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_CPU_INCOMPATIBLE, VIR_ERR_INTERNAL_ERROR
 */
export function updateGuestCpu(def: DomainDef, context: QemuContext): void {
  const { cpu } = def
  if (!hasCpuModel(cpu)) return
  const relative = isRelative(cpu)
  // Most guests need nothing of the host's model.
  const host = isX86(def) && (relative || cpu.check !== 'none') ? hostModel(context, def.type) : undefined
  checkMode(def, cpu, context, host)
  if (!isX86(def)) return
  if (cpu.check !== 'none' && host) checkForbidden(cpu, host.full)
  if (cpu.mode === 'custom' || cpu.mode === 'host-model') {
    if (cpu.check === 'partial') {
      refuseIncompatible(
        checkDomainCpu(context.qemu, { reported: host?.reported, compat: host?.full }, { of: 'guest', cpu })
      )
    }
    makeAbsolute(cpu, host?.migratable, relative)
    translate(cpu, context)
    cpu.model!.fallback = 'forbid'
  }
  turnOffDeprecated(cpu, context)
  const byTopology = context.qemu.has('cpu.features-of-topology')
  cpu.features = cpu.features.filter(({ name }) => !NOT_FOR_QEMU.has(name) && !(byTopology && OF_TOPOLOGY.has(name)))
}

/**
 * Features that left the CPU's model since the guest was started are still the guest's: it names all others that had
 * left it (qemuProcessRefreshCPU).
 */
export function keepRemoved(def: DomainDef): void {
  const { cpu } = def
  if (!isX86(def) || cpu?.mode !== 'custom') return
  const model = cpuModel(cpu.model?.name ?? '')
  if (model) addRemoved(cpu.features, model, 'require')
}

/** @throws VIR_ERR_CONFIG_UNSUPPORTED where the user has a word on deprecated features, and QEMU none */
function turnOffDeprecated({ deprecatedFeatures, features }: CpuDef, { qemu }: QemuContext): void {
  if (deprecatedFeatures === undefined) return
  if (!qemu.has('query-cpu-model-expansion.deprecated-props')) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'toggling deprecated features for CPU model is unsupported')
  }
  if (!deprecatedFeatures) disableDeprecated(features, qemu)
}

/** Turns off what QEMU calls deprecated of its host's CPU (virQEMUCapsUpdateCPUDeprecatedFeatures). */
export function disableDeprecated(features: CpuFeatureDef[], { hostCpu }: Qemu): void {
  for (const name of hostCpu?.deprecated ?? []) setFeature(features, name, 'disable')
}

/**
 * The definition with its CPU as it would be on this host now, for VIR_DOMAIN_XML_UPDATE_CPU.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_INTERNAL_ERROR
 */
export function withUpdatedCpu(def: DomainDef, context: QemuContext): DomainDef {
  if (!isX86(def) || !hasCpuModel(def.cpu) || (def.cpu.mode !== 'custom' && def.cpu.mode !== 'host-model')) return def
  const cpu = structuredClone(def.cpu)
  const relative = isRelative(cpu)
  makeAbsolute(cpu, relative ? hostModel(context, def.type)?.migratable : undefined, relative)
  return { ...def, cpu }
}

function isRelative({ mode, match, features }: CpuDef): boolean {
  if (mode === 'host-model') return true
  return mode === 'custom' && (match === 'minimum' || features.some(({ policy }) => policy === 'optional'))
}

/** libvirt: virQEMUCapsIsCPUModeSupported */
function checkMode(def: DomainDef, cpu: CpuDef, context: QemuContext, host: HostModel | undefined): void {
  const { qemu, hostArch } = context
  const supported = {
    'host-passthrough': def.type === 'kvm' && isNative(hostArch, qemu.arch),
    'host-model': host !== undefined || (isPpc64(def) && def.type === 'kvm'),
    custom: qemu.cpuModels.length > 0,
    maximum: qemu.cpuModels.some(({ name }) => name === 'max')
  }[cpu.mode]
  if (supported) return
  throw fail(
    'VIR_ERR_CONFIG_UNSUPPORTED',
    `CPU mode '${cpu.mode}' for ${def.os.arch} ${def.type} domain on ${hostArch} host is not supported by hypervisor`
  )
}

function checkForbidden({ features }: CpuDef, host: PlainCpu): void {
  for (const { name, policy } of features) {
    if (policy !== 'forbid') continue
    const there = host.features.find(feature => feature.name === name)
    if (there && there.policy !== 'disable') {
      throw failCpu('VIR_ERR_CPU_INCOMPATIBLE', `Host CPU provides forbidden feature '${name}'`)
    }
  }
}

/** host-model and match='minimum' become the host's model, optional features what the host has of them. */
function makeAbsolute(cpu: CpuDef, host: PlainCpu | undefined, relative: boolean): void {
  if (relative) {
    if (!host) throw failCpu('VIR_ERR_CONFIG_UNSUPPORTED', 'unknown host CPU model')
    const has = allFeatures(host)
    for (const feature of cpu.features) {
      if (feature.policy === 'optional') feature.policy = has.has(feature.name) ? 'require' : 'disable'
    }
    if (cpu.mode === 'host-model' || cpu.match === 'minimum') becomeHost(cpu, host)
  }
  addRemoved(cpu.features, modelNamed(cpu.model!.name!))
}

function becomeHost(cpu: CpuDef, host: PlainCpu): void {
  const vendorId = cpu.model?.vendorId
  // A vendor the user asks for stays what it was.
  const vendor = cpu.mode === 'custom' ? cpu.vendor : host.vendor
  const features: CpuFeatureDef[] = host.features.map(feature => ({ ...feature }))
  for (const { name, policy } of cpu.features) setFeature(features, name, policy)
  // the fallback of a model without a name counts as not given
  const instead = cpu.model?.name === undefined ? 'allow' : cpu.model.fallback
  cpu.model = { name: host.model, fallback: instead, ...(vendorId !== undefined && { vendorId }) }
  if (vendor !== undefined) cpu.vendor = vendor
  cpu.features = features
  cpu.mode = 'custom'
  cpu.match = 'exact'
}

/** A model QEMU does not have is replaced by the closest it has, if the user lets it. */
function translate(cpu: CpuDef, { qemu }: QemuContext): void {
  const name = cpu.model!.name!
  if (qemu.cpuModels.some(model => model.name === name)) return
  if (cpu.model!.fallback !== 'allow') {
    throw failCpu('VIR_ERR_CONFIG_UNSUPPORTED', `CPU model ${name} is not supported by hypervisor`)
  }
  const closest = decode(dataOfModel({ model: name, features: cpu.features }), { offered: offeredModels(qemu) })
  const features = closest.features
  for (const feature of cpu.features) setFeature(features, feature.name, feature.policy)
  cpu.model = { ...cpu.model!, name: closest.model }
  cpu.features = features
}
