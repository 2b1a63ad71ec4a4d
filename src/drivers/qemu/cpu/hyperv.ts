// Hyper-V enlightenments as properties of the CPU.
import type { HypervDef } from '../../../conf/domain/features-hyperv.ts'
import type { Props } from '../parts/props.ts'

/** Enlightenments that are on or off. */
export const HYPERV_SWITCHES = [
  'relaxed',
  'vapic',
  'vpindex',
  'runtime',
  'synic',
  'reset',
  'frequencies',
  'reenlightenment',
  'tlbflush',
  'ipi',
  'evmcs',
  'avic'
] as const satisfies (keyof HypervDef)[]

/** CPU properties for enlightenments that are on; QEMU has all off by default. */
export function hypervProps(hyperv: HypervDef | undefined): Props {
  if (!hyperv) return {}
  const { mode, spinlocks, stimer, vendorId } = hyperv
  return {
    'hv-passthrough': mode === 'passthrough' || undefined,
    ...Object.fromEntries(HYPERV_SWITCHES.filter(name => hyperv[name]).map(name => [`hv-${name}`, true])),
    'hv-spinlocks': spinlocks?.state ? `0x${spinlocks.retries!.toString(16)}` : undefined,
    'hv-stimer': stimer?.state || undefined,
    'hv-stimer-direct': stimer?.direct,
    'hv-vendor-id': vendorId?.state ? vendorId.value : undefined
  }
}
