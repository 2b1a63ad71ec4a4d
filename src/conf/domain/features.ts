// <features>: switches of the virtual machine, in the order libvirt writes them.
import { closedChild } from '../closed-element.ts'
import { attr, childAlways, childAttr, type Def, type Fields, flag, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff } from '../scalar.ts'
import { capabilitiesFeature } from './features-capabilities.ts'
import { hypervFeature } from './features-hyperv.ts'
import { kvmFeature } from './features-kvm.ts'
import { hptFeature, smmFeature, tcgFeature } from './features-sized.ts'
import { enabledFeature, requiredState, state } from './features-state.ts'
import { xenFeature } from './features-xen.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** The state of a speculation flaw, as a pSeries guest is told of it. */
const mitigation = enumOf('broken', 'workaround', 'fixed')

const featuresTable = {
  acpi: flag('acpi'),
  apic: childAlways('apic', { eoi: attr('eoi', onOff) }),
  pae: flag('pae'),
  hap: state('hap'),
  viridian: flag('viridian'),
  privnet: flag('privnet'),
  hyperv: hypervFeature,
  kvm: kvmFeature,
  pvspinlock: state('pvspinlock'),
  capabilities: capabilitiesFeature,
  pmu: state('pmu'),
  vmport: state('vmport'),
  /** interrupt controller of ARM guests; the version is chosen by the post-parse pass if not given */
  gic: childAlways('gic', { version: attr('version', enumOf('host', '2', '3')) }),
  smm: smmFeature,
  ioapic: childAttr('ioapic', 'driver', enumOf('qemu', 'kvm')),
  hpt: hptFeature,
  vmcoreinfo: state('vmcoreinfo'),
  htm: requiredState('htm'),
  nestedHv: requiredState('nested-hv'),
  msrs: childAlways('msrs', { unknown: required(attr('unknown', enumOf('ignore', 'fault'))) }),
  ccfAssist: requiredState('ccf-assist'),
  xen: xenFeature,
  cfpc: childAttr('cfpc', 'value', mitigation),
  sbbc: childAttr('sbbc', 'value', mitigation),
  ibs: childAttr('ibs', 'value', enumOf('broken', 'workaround', 'fixed-ibs', 'fixed-ccd', 'fixed-na')),
  tcg: tcgFeature,
  asyncTeardown: enabledFeature('async-teardown'),
  ras: requiredState('ras'),
  ps2: requiredState('ps2'),
  aia: childAttr('aia', 'value', enumOf('aplic', 'aplic-imsic', 'none'))
} satisfies Fields

export type FeaturesDef = Def<typeof featuresTable>

export const featuresFields = {
  features: closedChild('features', featuresTable, name =>
    fail('VIR_ERR_CONFIG_UNSUPPORTED', `unexpected feature '${name}'`)
  )
} satisfies Fields
