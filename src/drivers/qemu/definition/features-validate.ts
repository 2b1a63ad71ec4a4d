// Checks of <features> against the machine and this QEMU (qemuValidateDomainDefFeatures).
import type { FeaturesDef } from '../../../conf/domain/features.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QemuContext } from '../context.ts'
import { hasPs2, isArmVirt, isI440fx, isPpc64, isPseries, isQ35, isRiscvVirt, isX86 } from '../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

const KIB_PER_MIB = 1024

type FeatureCheck<T> = (value: T, def: DomainDef, qemu: Qemu) => void
type FeatureChecks = { [K in keyof FeaturesDef]?: FeatureCheck<NonNullable<FeaturesDef[K]>> }

function refuseUnless(fits: boolean, { os }: DomainDef, what: string): void {
  if (!fits) throw unsupported(`${what} not supported for architecture '${os.arch}' or machine type '${os.machine}'`)
}

/** A setting of pSeries machines. */
const pSeriesOnly =
  (name: string): FeatureCheck<unknown> =>
  (_value, def) =>
    refuseUnless(isPseries(def), def, `The '${name}' feature is`)

/** Checks in the order of libvirt's features; each runs for a feature that is given. */
const CHECKS: FeatureChecks = {
  apic({ eoi }, def) {
    if (eoi !== undefined) refuseUnless(isX86(def), def, "The 'eoi' attribute of the 'apic' feature is")
  },
  hyperv: (_value, def) => refuseUnless(isX86(def) || isArmVirt(def), def, 'Hyperv features are'),
  pvspinlock: (_value, def) => refuseUnless(isX86(def), def, "The 'pvspinlock' feature is"),
  pmu(on, def) {
    if (!on && isPpc64(def)) throw unsupported(`PMU is always enabled for architecture '${def.os.arch}'`)
  },
  vmport(on, def, qemu) {
    const has = isI440fx(def) || isQ35(def) || def.os.machine === 'isapc'
    if (!has || !qemu.has('machine-vmport-opt')) throw unsupported('vmport is not available with this QEMU binary')
    if (on && def.features?.ps2 === false) {
      throw unsupported('vmport feature requires the ps2 feature not to be disabled')
    }
  },
  asyncTeardown(on, _def, qemu) {
    if (on && !qemu.has('run-with.async-teardown')) {
      throw unsupported('asynchronous teardown is not available with this QEMU binary')
    }
  },
  ras(_value, def, qemu) {
    if (!isArmVirt(def)) throw unsupported('ras feature is only supported with ARM Virt machines')
    if (!qemu.has('machine.virt.ras')) throw unsupported('ras feature is not available with this QEMU binary')
  },
  ps2(_value, def, qemu) {
    if (!hasPs2(def, qemu)) throw unsupported('ps2 feature is not available with this QEMU binary')
    if (!qemu.has('machine-i8042-opt')) {
      throw unsupported('ps2 feature state cannot be controlled with this QEMU binary')
    }
  },
  aia(_value, def, qemu) {
    if (!isRiscvVirt(def)) throw unsupported('aia feature is only supported with RISC-V Virt machines')
    if (!qemu.has('machine.virt.aia')) throw unsupported('aia feature is not available with this QEMU binary')
  },
  gic: (_value, def) => refuseUnless(isArmVirt(def), def, "The 'gic' feature is"),
  ioapic: (_value, def) => refuseUnless(isX86(def), def, "The 'ioapic' feature is"),
  hpt: pSeriesOnly('hpt'),
  vmcoreinfo(on, _def, qemu) {
    if (on && !qemu.has('vmcoreinfo')) throw unsupported('vmcoreinfo is not available with this QEMU binary')
  },
  htm: pSeriesOnly('htm'),
  nestedHv: pSeriesOnly('nested-hv'),
  ccfAssist: pSeriesOnly('ccf-assist'),
  cfpc: pSeriesOnly('cfpc'),
  sbbc: pSeriesOnly('sbbc'),
  ibs: pSeriesOnly('ibs'),
  tcg({ tbCacheKiB }, { type }) {
    if (type !== 'qemu') throw unsupported(`TCG features are incompatible with domain type '${type}'`)
    if (tbCacheKiB % KIB_PER_MIB !== 0) throw unsupported('tb-cache size must be an integer multiple of MiB')
  }
}

/** Checks <features>. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateFeatures(def: DomainDef, { qemu }: QemuContext): void {
  const { features = {} } = def
  const run = <K extends keyof FeaturesDef>(name: K) => {
    const value = features[name]
    if (value !== undefined) CHECKS[name]?.(value as NonNullable<FeaturesDef[K]>, def, qemu)
  }
  for (const name of Object.keys(CHECKS) as (keyof FeaturesDef)[]) run(name)
}
