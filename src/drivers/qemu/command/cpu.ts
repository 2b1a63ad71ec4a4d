// -cpu: model, features, and what timers, enlightenments and KVM's own interfaces add as properties of the CPU
// (qemuBuildCpuCommandLine).
import { type CpuDef, hasCpuModel } from '../../../conf/domain/cpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { libvirtFeatureName, qemuFeatureName } from '../cpu/feature-name.ts'
import { hypervProps } from '../cpu/hyperv.ts'
import { isPpc64, isX86 } from '../machine-type.ts'
import { keyValue, type Props } from '../parts/props.ts'
import type { Command } from './command.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** The CPU, if the guest names one or anything that is a property of it (qemuBuildCpuCommandLine). */
export function cpuArgs(command: Command): void {
  const { def } = command
  const extra: Props = {
    ...timerProps(def),
    ...featureProps(def),
    ...cacheProps(command),
    ...addressProps(def)
  }
  const wanted = Object.values(extra).some(value => value !== undefined)
  const model = modelName(command) ?? (wanted ? fallbackModel(def) : undefined)
  if (model !== undefined) command.add('-cpu', keyValue(model, { ...modelProps(command), ...extra }))
}

function modelName({ def, context }: Command): string | undefined {
  const { cpu, os, devices } = def
  if (!hasCpuModel(cpu)) {
    const emulator = devices.emulator!
    const wide = emulator.includes('x86_64') || (context.hostArch === 'x86_64' && emulator.includes('kvm'))
    return os.arch === 'i686' && wide ? 'qemu32' : undefined
  }
  switch (cpu.mode) {
    case 'host-passthrough':
      return 'host'
    case 'maximum':
      return 'max'
    case 'custom':
      return cpu.model?.name
    case 'host-model':
      if (isPpc64(def)) return 'host'
      throw fail('VIR_ERR_INTERNAL_ERROR', `unexpected host-model CPU for ${os.arch} architecture`)
  }
}

/** Properties need a model to belong to. */
function fallbackModel({ os }: DomainDef): string {
  if (os.arch === 'i686') return 'qemu32'
  if (os.arch === 'x86_64') return 'qemu64'
  throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `CPU flags requested but can't determine default CPU for arch ${os.arch}`)
}

const isHost = ({ mode }: CpuDef) => mode === 'host-passthrough' || mode === 'maximum'

function modelProps({ def, context, qemu }: Command): Props {
  const { cpu, os } = def
  if (!hasCpuModel(cpu)) return {}
  const props: Props = {}
  if (isHost(cpu)) {
    if (os.arch === 'armv7l' && context.hostArch === 'aarch64') props.aarch64 = false
    if (qemu.has('cpu.migratable')) props.migratable = cpu.migratable
  }
  props.vendor = cpu.model?.vendorId
  const known = isX86(def) ? qemu.hostCpu?.known.map(name => libvirtFeatureName(name, os.arch!)) : undefined
  for (const { name, policy } of cpu.features) {
    const on = policy === 'force' || policy === 'require'
    // what QEMU does not know is off: it need not, and cannot, be turned off
    if (policy === 'optional' || !(on || !known || known.includes(name))) continue
    props[qemuFeatureName(name, os.arch!)] = on
  }
  return props
}

function timerProps({ clock }: DomainDef): Props {
  const props: Props = {}
  for (const { name, present, frequencyHz, tickpolicy } of clock.timers) {
    if (name === 'kvmclock') props.kvmclock = present
    if (name === 'hypervclock' && present) props['hv-time'] = true
    if (name === 'tsc' && frequencyHz) props['tsc-frequency'] = frequencyHz
    if (name === 'armvtimer' && tickpolicy) props['kvm-no-adjvtime'] = tickpolicy === 'discard'
  }
  return props
}

function featureProps(def: DomainDef): Props {
  const { features = {}, devices } = def
  const { kvm } = features
  return {
    'kvm-pv-eoi': features.apic?.eoi,
    'kvm-pv-unhalt': features.pvspinlock,
    ...hypervProps(features.hyperv),
    'hv-crash': devices.panics.some(panic => 'model' in panic && panic.model === 'hyperv') || undefined,
    kvm: kvm?.hidden ? false : undefined,
    'kvm-hint-dedicated': kvm?.hintDedicated || undefined,
    'kvm-poll-control': kvm?.pollControl || undefined,
    'kvm-pv-ipi': kvm?.pvIpi === false ? false : undefined,
    // always there on ppc64, and no option of its CPUs
    pmu: isPpc64(def) ? undefined : features.pmu
  }
}

/** An emulated or absent third level cache must not be shadowed by the host's own, and the other way round. */
function cacheProps({ def: { cpu }, qemu }: Command): Props {
  const mode = cpu?.cache?.mode
  if (!cpu || mode === undefined) return {}
  const known = qemu.has('cpu-cache')
  return {
    'l3-cache': mode === 'emulate' ? true : known ? false : undefined,
    'host-cache-info': mode === 'passthrough' ? true : isHost(cpu) && known ? false : undefined
  }
}

function addressProps({ cpu }: DomainDef): Props {
  const address = cpu?.maxphysaddr
  if (!address) return {}
  if (address.mode === 'passthrough') return { 'host-phys-bits': true, 'host-phys-bits-limit': address.limit }
  return address.bits ? { 'phys-bits': address.bits } : { 'host-phys-bits': false }
}
