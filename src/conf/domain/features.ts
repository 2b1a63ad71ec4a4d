// <features>: switches of the virtual machine.
import { attr, childAlways, childAttr, custom, type Field, type Fields, flag } from '../element.ts'
import { enumOf, onOff, string, uint } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'

/** `<x/>` or `<x state='on|off'/>`: presence alone is on. */
function state(name: string): Field<boolean | undefined> {
  return custom<boolean | undefined>({
    names: [[name, { state: attr('state', onOff) }]],
    parse(node, context) {
      const found = firstChild(node, name)
      return found && (attr('state', onOff).parse(found, context) ?? true)
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, { state: onOff.format(value) }))
    }
  })
}

const hypervSwitches = [
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
] as const
const stateAttr = attr('state', onOff)

export const featuresFields = {
  features: childAlways('features', {
    pae: flag('pae'),
    acpi: flag('acpi'),
    apic: childAlways('apic', { eoi: attr('eoi', onOff) }),
    viridian: flag('viridian'),
    privnet: flag('privnet'),
    hap: state('hap'),
    pmu: state('pmu'),
    pvspinlock: state('pvspinlock'),
    vmport: state('vmport'),
    smm: childAlways('smm', { state: attr('state', onOff) }),
    hyperv: childAlways('hyperv', {
      mode: attr('mode', enumOf('custom', 'passthrough')),
      ...(Object.fromEntries(hypervSwitches.map(name => [name, state(name)])) as Record<
        (typeof hypervSwitches)[number],
        Field<boolean | undefined>
      >),
      spinlocks: childAlways('spinlocks', { state: stateAttr, retries: attr('retries', uint) }),
      stimer: childAlways('stimer', { state: stateAttr, direct: childAttr('direct', 'state', onOff) }),
      vendorId: childAlways('vendor_id', { state: stateAttr, value: attr('value', string) })
    }),
    kvm: childAlways('kvm', {
      hidden: state('hidden'),
      hintDedicated: state('hint-dedicated'),
      pollControl: state('poll-control'),
      pvIpi: state('pv-ipi'),
      dirtyRing: childAlways('dirty-ring', { state: stateAttr, size: attr('size', uint) })
    }),
    gic: childAlways('gic', { version: attr('version', string) }),
    ioapic: childAttr('ioapic', 'driver', enumOf('kvm', 'qemu')),
    vmcoreinfo: state('vmcoreinfo'),
    tcg: childAlways('tcg', {
      tbCache: custom<undefined>({ names: [['tb-cache', null]], parse: () => undefined, format: () => undefined })
    })
  })
} satisfies Fields
