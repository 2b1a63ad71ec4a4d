// The CPU of a guest that starts: host-model and relative definitions made absolute, models QEMU lacks replaced
// (qemuProcessUpdateGuestCPU, virCPUx86Update, virCPUx86Translate).
import { type CpuDef, type CpuFeatureDef, hasCpuModel } from '../../../conf/domain/cpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { cpuinfo } from '../../../host/cpuinfo.ts'
import { isNative } from '../capabilities/emulator.ts'
import type { QemuContext } from '../context.ts'
import { isPpc64, isX86 } from '../machine-type.ts'
import { checkHostRuns } from './compare.ts'
import { libvirtFeatureName } from './feature-name.ts'
import { type HostModel, hostModel, offeredModels } from './host-model.ts'
import { CPU_FEATURES, MSR_FEATURES } from './map.ts'
import { allFeatures, dataOfModel, decode, disableRemoved, modelNamed, type PlainCpu, setFeature } from './model.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failCpu = errorsFrom('VIR_FROM_CPU')

/** Features of the host's own bookkeeping, or that the guest's kernel turns on: nothing to tell QEMU. */
export const NOT_FOR_QEMU = new Set(['cmt', 'mbm_total', 'mbm_local', 'osxsave', 'ospke'])

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
    if (cpu.check === 'partial') checkHostRuns(host?.full, cpu)
    makeAbsolute(cpu, host?.migratable, relative)
    translate(cpu, context)
    cpu.model!.fallback = 'forbid'
  }
  const known = new Set(context.qemu.hostCpu?.known.map(name => libvirtFeatureName(name, def.os.arch!)))
  cpu.features = cpu.features.filter(({ name, policy }) => {
    if (NOT_FOR_QEMU.has(name)) return false
    // a feature QEMU does not know is off: it need not, and cannot, be turned off
    return known.size === 0 || known.has(name) || (policy !== 'disable' && policy !== 'forbid')
  })
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
  disableRemoved(cpu.features, modelNamed(cpu.model!.name!))
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
