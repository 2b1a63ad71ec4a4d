// The CPU QEMU made, compared with the one it was asked for (qemuProcessUpdateAndVerifyCPU, virCPUx86UpdateLive).
import { type CpuDef, formatCpu, hasCpuModel } from '../../../conf/domain/cpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { formatXml } from '../../../conf/xml.ts'
import { isX86 } from '../machine-type.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import { libvirtFeatureName, qemuFeatureName } from './feature-name.ts'
import { HYPERV_SWITCHES } from './hyperv.ts'
import { CPU_FEATURES, featuresInRegister, MSR_FEATURES } from './map.ts'
import { addRemoved, allFeatures, featuresUnder, modelNamed, setFeature } from './model.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failCpu = errorsFrom('VIR_FROM_CPU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/**
 * Puts the CPU that another QEMU had made for the guest into its definition (qemuDomainUpdateCPU).
 * @returns the `<cpu>` it was once started with, if that differs
 */
export function takeMadeCpu(def: DomainDef, made: CpuDef | undefined): string | undefined {
  if (!made || !def.cpu) return undefined
  const original = formatXml(formatCpu(def.cpu))
  const { numa } = def.cpu
  def.cpu = { ...made, ...(numa && { numa }) }
  return formatXml(formatCpu(def.cpu)) === original ? undefined : original
}

interface FeatureWord {
  'cpuid-input-eax': number
  'cpuid-input-ecx'?: number
  'cpuid-register': string
  features: number
}

interface Vcpu {
  'qom-path': string
}

/** Features the guest's first vCPU has, and those it was asked for and has not. */
interface LiveCpu {
  enabled: ReadonlySet<string>
  unavailable: ReadonlySet<string>
}

/**
 * Verifies the vCPUs of a QEMU that has started and is not running yet, and writes into the definition what the
 * hypervisor turned on or off by itself.
 * @param cpus QEMU's answer to query-cpus-fast
 * @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_OPERATION_FAILED for check='full'
 */
export async function verifyGuestCpu(def: DomainDef, qmp: QmpMonitor, cpus: Promise<Vcpu[]>): Promise<void> {
  if (!isX86(def)) return
  const [first] = await cpus
  if (!first) return
  const property = <T>(name: string): Promise<T> =>
    qmp.execute<T>('qom-get', { path: first['qom-path'], property: name })
  await verifyAskedFor(def, name => property<boolean>(name).catch(() => false))
  if (!hasCpuModel(def.cpu)) return
  const wanted = allFeaturesOf(def.cpu)
  const live = await liveCpu(property, wanted)
  if (wanted.has('invtsc') && !live.enabled.has('invtsc')) {
    throw unsupported("host doesn't support invariant TSC")
  }
  if (def.cpu.mode === 'custom' || def.cpu.check === 'full') updateLive(def.cpu, live)
}

/**
 * CPUID comes in one piece; each MSR's feature is a question of its own, asked only where CPUID tells of the MSR or the
 * guest was to have some of it: TCG may give that without a word in CPUID.
 */
async function liveCpu(property: <T>(name: string) => Promise<T>, wanted: ReadonlySet<string>): Promise<LiveCpu> {
  const [words, missing] = await Promise.all([
    property<FeatureWord[]>('feature-words'),
    property<string[]>('unavailable-features').catch(() => [])
  ])
  const enabled = new Set(
    words.flatMap(word => {
      const { 'cpuid-input-eax': leaf, 'cpuid-input-ecx': subleaf, 'cpuid-register': register } = word
      return featuresInRegister(leaf, subleaf, register.toLowerCase(), word.features)
    })
  )
  const all = [...MSR_FEATURES]
  const told = new Set(all.filter(name => wanted.has(name)).map(msrTold))
  const names = all.filter(name => enabled.has(msrTold(name)) || told.has(msrTold(name)))
  const values = await Promise.all(
    names.map(name => property<boolean>(qemuFeatureName(name, 'x86_64')).catch(() => false))
  )
  for (const [i, name] of names.entries()) if (values[i]) enabled.add(name)
  return { enabled, unavailable: new Set(missing.map(name => libvirtFeatureName(name, 'x86_64'))) }
}

/** The feature of CPUID without which there is no MSR with this one. */
function msrTold(name: string): string {
  if (name.startsWith('vmx-')) return 'vmx'
  return name === 'split-lock-detect' ? 'core-capability' : 'arch-capabilities'
}

/** Checks that enlightenments and paravirtual locks asked for are there. @throws VIR_ERR_CONFIG_UNSUPPORTED */
async function verifyAskedFor({ features }: DomainDef, has: (name: string) => Promise<boolean>): Promise<void> {
  if (features?.pvspinlock && !(await has('kvm-pv-unhalt'))) {
    throw unsupported("host doesn't support paravirtual spinlocks")
  }
  const hyperv = features?.hyperv
  if (!hyperv) return
  for (const { name, property, isOn } of HYPERV_SWITCHES) {
    // libvirt does not verify these two: every KVM has them, or no guest misses them
    if (name === 'relaxed' || name === 'vapic' || !isOn(hyperv)) continue
    if (!(await has(property))) throw unsupported(`host doesn't support hyperv '${name}' feature`)
  }
  const { stimer, tlbflush } = hyperv
  for (const [feature, part, isAsked, property] of [
    ['stimer', 'direct', stimer?.direct, 'hv-stimer-direct'],
    ['tlbflush', 'direct', tlbflush?.direct, 'hv-tlbflush-direct'],
    ['tlbflush', 'extended', tlbflush?.extended, 'hv-tlbflush-ext']
  ] as const) {
    if (isAsked && !(await has(property))) throw unsupported(`host doesn't support hyperv ${feature} '${part}' feature`)
  }
}

const described = ({ model, features }: CpuDef) => ({ ...(model?.name && { model: model.name }), features })
const allFeaturesOf = (cpu: CpuDef): Set<string> => allFeatures(described(cpu))

function updateLive(cpu: CpuDef, { enabled, unavailable }: LiveCpu): void {
  const conflict = [...CPU_FEATURES].find(name => enabled.has(name) && unavailable.has(name))
  if (conflict !== undefined) {
    throw failCpu(
      'VIR_ERR_OPERATION_FAILED',
      `hypervisor provided conflicting CPU data: feature '${conflict}' is both enabled and disabled at the same time`
    )
  }
  const wanted = allFeaturesOf(cpu)
  const open = cpu.mode === 'host-passthrough' || cpu.mode === 'maximum'
  const refused = featuresUnder('disable', described(cpu))
  const names = [...CPU_FEATURES]
  const added = names.filter(name => !wanted.has(name) && (!open || refused.has(name)) && enabled.has(name))
  const removed = names.filter(name => unavailable.has(name) || (wanted.has(name) && !enabled.has(name)))
  if (cpu.check === 'full') {
    // QEMU always had these with the model, long before libvirt knew of them.
    const late = cpu.model?.name === undefined ? undefined : modelNamed(cpu.model.name).added
    const matters = (name: string) => !late?.has(name) || wanted.has(name) || refused.has(name)
    const [extra, missing] = [added.filter(matters), removed.filter(matters)]
    const parts = [
      extra.length > 0 && `extra features: ${extra.join(',')}`,
      missing.length > 0 && `missing features: ${missing.join(',')}`
    ].filter(part => part !== false)
    if (parts.length > 0) {
      throw failCpu('VIR_ERR_OPERATION_FAILED', `guest CPU doesn't match specification: ${parts.join(', ')}`)
    }
  }
  const on = new Set(added)
  const off = new Set(removed)
  for (const name of names) {
    if (off.has(name)) setFeature(cpu.features, name, 'disable')
    else if (on.has(name)) setFeature(cpu.features, name, 'require')
  }
  if (cpu.mode === 'custom') addRemoved(cpu.features, modelNamed(cpu.model!.name!))
  cpu.check = 'full'
}
