// <kvm>: KVM's own features for the guest (virDomainFeaturesKVMDefParse).
import { closedChildAlways } from '../closed-element.ts'
import { attr, custom, type Def, type Field, type Fields, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { onOff, uintAnyBase } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'
import { requiredState, stateRequired } from './features-state.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const RING_MIN = 1024
const RING_MAX = 65536

/** Dirty page tracking by rings of that many entries. */
const dirtyRing: Field<{ state: boolean; size?: number } | undefined> = custom({
  names: [['dirty-ring', { state: stateRequired, size: attr('size', uintAnyBase) }]],
  parse(node, context) {
    const found = firstChild(node, 'dirty-ring')
    if (!found) return undefined
    if (!stateRequired.parse(found, context)) return { state: false }
    const size = required(attr('size', uintAnyBase)).parse(found, context)
    if (size < RING_MIN || size > RING_MAX || !Number.isInteger(Math.log2(size))) {
      throw fail('VIR_ERR_XML_ERROR', `dirty ring must be power of 2 and ranges [${RING_MIN}, ${RING_MAX}]`)
    }
    return { state: true, size }
  },
  format(value, into) {
    if (value) into.children.push(element('dirty-ring', { state: onOff.format(value.state), size: value.size }))
  }
})

const kvmTable = {
  hidden: requiredState('hidden'),
  hintDedicated: requiredState('hint-dedicated'),
  pollControl: requiredState('poll-control'),
  pvIpi: requiredState('pv-ipi'),
  dirtyRing
} satisfies Fields

export type KvmDef = Def<typeof kvmTable>

export const kvmFeature = closedChildAlways('kvm', kvmTable, name =>
  fail('VIR_ERR_CONFIG_UNSUPPORTED', `unsupported KVM feature: ${name}`)
)
