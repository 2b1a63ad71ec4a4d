// <xen>: read and kept for Xen's sake, without effect under QEMU (virDomainFeaturesXENDefParse).
import { closedChildAlways } from '../closed-element.ts'
import { attr, custom, type Field, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'
import { requiredState, stateRequired } from './features-state.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const mode = attr('mode', enumOf('sync_pt', 'share_pt'))

const passthrough: Field<{ state: boolean; mode?: 'sync_pt' | 'share_pt' } | undefined> = custom({
  names: [['passthrough', { state: stateRequired, mode }]],
  parse(node, context) {
    const found = firstChild(node, 'passthrough')
    if (!found) return undefined
    const on = stateRequired.parse(found, context)
    const how = on ? mode.parse(found, context) : undefined
    return { state: on, ...(how && { mode: how }) }
  },
  format(value, into) {
    if (value) into.children.push(element('passthrough', { state: onOff.format(value.state), mode: value.mode }))
  }
})

const xenTable = { e820Host: requiredState('e820_host'), passthrough } satisfies Fields

export const xenFeature = closedChildAlways('xen', xenTable, name =>
  fail('VIR_ERR_CONFIG_UNSUPPORTED', `unsupported Xen feature: ${name}`)
)
