// <hyperv>: enlightenments for Windows guests (virDomainFeaturesHyperVDefParse).
import { closedChildAlways } from '../closed-element.ts'
import {
  attr,
  childAttr,
  custom,
  type Def,
  type Field,
  type Fields,
  formatFieldsInto,
  required,
  withDefault
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff, string, uintAnyBase } from '../scalar.ts'
import { childElements, element, firstChild, gathered } from '../xml.ts'
import { requiredState, stateRequired } from './features-state.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const SPINLOCK_RETRIES_MIN = 0xfff
const VENDOR_ID_MAX = 12

/** An enlightenment with a setting of its own, read and written only when it is on. */
function setting<F extends Fields>(name: string, fields: F): Field<({ state: boolean } & Partial<Def<F>>) | undefined> {
  return custom<({ state: boolean } & Partial<Def<F>>) | undefined>({
    names: [[name, { state: stateRequired, ...fields }]],
    parse(node, context) {
      const found = firstChild(node, name)
      if (!found) return undefined
      const on = stateRequired.parse(found, context)
      if (!on) return { state: false } as { state: boolean } & Partial<Def<F>>
      const out: Record<string, unknown> = { state: true }
      for (const key in fields) {
        const value = fields[key]!.parse(found, context)
        if (value !== undefined) out[key] = value
      }
      return out as { state: boolean } & Partial<Def<F>>
    },
    format(value, into, context) {
      if (value === undefined) return
      const node = element(name, { state: onOff.format(value.state) })
      if (value.state) formatFieldsInto(node, value as unknown as Def<F>, fields, context)
      into.children.push(node)
    }
  })
}

const retries: Field<number> = custom<number>({
  ...required(attr('retries', uintAnyBase)),
  parse(node, context) {
    const value = required(attr('retries', uintAnyBase)).parse(node, context)
    if (value >= SPINLOCK_RETRIES_MIN) return value
    throw fail('VIR_ERR_XML_ERROR', `HyperV spinlock retry count must be at least ${SPINLOCK_RETRIES_MIN}`)
  }
})

/** Parts of an enlightenment, by their elements; only what is on is remembered in XML. */
function parts<N extends string>(feature: string, ...names: N[]) {
  const field = (name: N): Field<boolean | undefined> => ({
    names: [[name, { state: stateRequired }]],
    parse(node, context) {
      let on: boolean | undefined
      for (const kid of childElements(node)) {
        if (!names.includes(kid.name as N)) {
          throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unsupported Hyper-V ${feature} feature: ${kid.name}`)
        }
        const state = stateRequired.parse(kid, context)
        if (kid.name === name) on = state
      }
      return on || undefined
    },
    format: childAttr(name, 'state', onOff).format
  })
  return setting(
    feature,
    Object.fromEntries(names.map(name => [name, field(name)])) as Record<N, ReturnType<typeof field>>
  )
}

const vendorId: Field<string> = custom<string>({
  ...required(attr('value', string)),
  parse(node) {
    const { value } = node.attributes
    if (value === undefined) {
      throw fail('VIR_ERR_XML_ERROR', "missing 'value' attribute for HyperV feature 'vendor_id'")
    }
    if (Buffer.byteLength(value) > VENDOR_ID_MAX) {
      throw fail('VIR_ERR_XML_ERROR', `HyperV vendor_id value must not be more than ${VENDOR_ID_MAX} characters.`)
    }
    if (value.includes(',')) throw fail('VIR_ERR_XML_ERROR', 'HyperV vendor_id value is invalid')
    return value
  }
})

const hypervTable = {
  mode: withDefault(attr('mode', enumOf('custom', 'passthrough')), 'custom'),
  relaxed: requiredState('relaxed'),
  vapic: requiredState('vapic'),
  spinlocks: setting('spinlocks', { retries }),
  vpindex: requiredState('vpindex'),
  runtime: requiredState('runtime'),
  synic: requiredState('synic'),
  /** direct delivery of synthetic timer messages */
  stimer: parts('stimer', 'direct'),
  reset: requiredState('reset'),
  vendorId: setting('vendor_id', { value: vendorId }),
  frequencies: requiredState('frequencies'),
  reenlightenment: requiredState('reenlightenment'),
  tlbflush: parts('tlbflush', 'direct', 'extended'),
  ipi: requiredState('ipi'),
  evmcs: requiredState('evmcs'),
  avic: requiredState('avic'),
  emsrBitmap: requiredState('emsr_bitmap'),
  xmmInput: requiredState('xmm_input')
} satisfies Fields

export type HypervDef = Def<typeof hypervTable>

const enlightenments = closedChildAlways('hyperv', hypervTable, name =>
  fail('VIR_ERR_CONFIG_UNSUPPORTED', `unsupported HyperV Enlightenment feature: ${name}`)
)

/** Single enlightenments are passed over where the host's are passed through. */
export const hypervFeature: typeof enlightenments = {
  ...enlightenments,
  parse(node, context) {
    const found = gathered(node, 'hyperv')
    if (!found || hypervTable.mode.parse(found, context) !== 'passthrough') return enlightenments.parse(node, context)
    return { mode: 'passthrough' }
  }
}
