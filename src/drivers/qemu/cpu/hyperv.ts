// Hyper-V enlightenments as properties of the CPU.
import type { HypervDef } from '../../../conf/domain/features-hyperv.ts'
import type { Props } from '../parts/props.ts'

/** Enlightenments as libvirt and QEMU call them: those that are on or off, and the parts of others. */
export const HYPERV_SWITCHES: readonly {
  name: string
  property: string
  isOn: (hyperv: HypervDef) => boolean | undefined
}[] = [
  ...(
    [
      'relaxed',
      'vapic',
      'vpindex',
      'runtime',
      'synic',
      'reset',
      'frequencies',
      'reenlightenment',
      'ipi',
      'evmcs',
      'avic'
    ] as const
  ).map(name => ({ name, property: `hv-${name}`, isOn: (hyperv: HypervDef) => hyperv[name] })),
  { name: 'stimer', property: 'hv-stimer', isOn: ({ stimer }) => stimer?.state },
  { name: 'tlbflush', property: 'hv-tlbflush', isOn: ({ tlbflush }) => tlbflush?.state },
  { name: 'emsr_bitmap', property: 'hv-emsr-bitmap', isOn: ({ emsrBitmap }) => emsrBitmap },
  { name: 'xmm_input', property: 'hv-xmm-input', isOn: ({ xmmInput }) => xmmInput }
]

/** CPU properties for enlightenments that are on; QEMU has all off by default. */
export function hypervProps(hyperv: HypervDef | undefined): Props {
  if (!hyperv) return {}
  const { mode, spinlocks, stimer, tlbflush, vendorId } = hyperv
  return {
    'hv-passthrough': mode === 'passthrough' || undefined,
    ...Object.fromEntries(HYPERV_SWITCHES.filter(one => one.isOn(hyperv)).map(({ property }) => [property, true])),
    'hv-spinlocks': spinlocks?.state ? `0x${spinlocks.retries!.toString(16)}` : undefined,
    'hv-stimer-direct': stimer?.direct,
    'hv-tlbflush-direct': tlbflush?.direct,
    'hv-tlbflush-ext': tlbflush?.extended,
    'hv-vendor-id': vendorId?.state ? vendorId.value : undefined
  }
}
