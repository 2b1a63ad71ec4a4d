// <seclabel> inside a <source>: how one image or character device is labelled, differing from the whole domain.
import type { DomainDef } from '../domain-def.ts'
import { childText, type Field, type ParseContext, parseAttribute } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { string, yesNo } from '../scalar.ts'
import { childElements, element, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export interface SeclabelOverride {
  /** the security driver it speaks of; absent: any */
  model?: string
  relabel: boolean
  /** live XML only: labelling was not possible and is left out */
  labelskip?: true
  label?: string
}

/** libvirt's VIR_SECURITY_LABEL_BUFLEN, the final NUL included */
const LABEL_BUFLEN = 4097

const label = childText('label', string)

function parseOne(node: XmlElement, context: ParseContext): SeclabelOverride {
  const { model } = node.attributes
  const given = parseAttribute(node, 'relabel', yesNo)
  const relabel = given ?? true
  const labelskip = !context.inactive && parseAttribute(node, 'labelskip', yesNo)
  const text = label.parse(node, context)
  const known = text !== undefined && Buffer.byteLength(text) < LABEL_BUFLEN ? text : undefined
  if (known !== undefined && !relabel) {
    throw fail('VIR_ERR_XML_ERROR', `Cannot specify a label if relabelling is turned off. model=${model ?? '<null>'}`)
  }
  if (context.inactive && given && known === undefined) {
    throw fail('VIR_ERR_XML_ERROR', `Cannot specify relabel if label is missing. model=${model ?? '<null>'}`)
  }
  return {
    ...(model !== undefined && { model }),
    relabel,
    ...(labelskip && { labelskip: true }),
    ...(known !== undefined && { label: known })
  }
}

/** All `<seclabel>` of a `<source>` (virSecurityDeviceLabelDefParseXML). */
export const seclabelOverrides: Field<SeclabelOverride[] | undefined> = {
  names: [['seclabel', null]],
  parse(node, context) {
    const nodes = childElements(node, 'seclabel')
    if (nodes.length === 0) return undefined
    const seen = new Set<string>()
    return nodes.map(one => {
      const { model } = one.attributes
      if (model !== undefined && seen.has(model)) {
        throw fail('VIR_ERR_XML_DETAIL', `seclabel for model ${model} is already provided`)
      }
      if (model !== undefined) seen.add(model)
      return parseOne(one, context)
    })
  },
  format(values, into, context) {
    for (const { model, relabel, labelskip, label: text } of values ?? []) {
      if (context.inactive && text === undefined && relabel) continue
      const how = labelskip ? { labelskip: 'yes' } : { relabel: yesNo.format(relabel) }
      const inner = text === undefined ? [] : [element('label', {}, [text])]
      into.children.push(element('seclabel', { model, ...how }, inner))
    }
  }
}

/** Overrides need a domain that is relabelled at all (virSecurityDeviceLabelDefValidate). */
export function validateSeclabelOverrides(overrides: SeclabelOverride[] | undefined, { seclabels }: DomainDef): void {
  for (const { model } of overrides ?? []) {
    if (seclabels.some(one => one.model === model && !one.relabel)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'label overrides require relabeling to be enabled at the domain level')
    }
  }
}
