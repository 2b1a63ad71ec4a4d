// <vlan>: 802.1Q tags of an interface (virNetDevVlanParse).
import { attr, claim, custom, type Field, parseAttribute, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, uint } from '../scalar.ts'
import { childElements, element, firstChild } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_NONE')

const nativeMode = enumOf('tagged', 'untagged')
const tagId = required(attr('id', uint))

/** The tags, and which of them is the native one. */
export interface Vlan {
  trunk: boolean
  tags: number[]
  native?: { mode: (typeof nativeMode.values)[number]; tag: number }
}

export const vlan: Field<Vlan | undefined> = custom<Vlan | undefined>({
  names: [['vlan', { claimed: claim('@trunk', ['tag', { claimed: claim('@id', '@nativeMode') }]) }]],
  parse(node, context) {
    const found = firstChild(node, 'vlan')
    if (!found) return undefined
    const nodes = childElements(found, 'tag')
    if (nodes.length === 0) {
      throw fail('VIR_ERR_XML_ERROR', "missing tag id - each <vlan> must have at least one <tag id='n'/> subelement")
    }
    const value: Vlan = { trunk: nodes.length > 1, tags: [] }
    for (const one of nodes) {
      const id = tagId.parse(one, context)
      if (id > 4095) throw fail('VIR_ERR_XML_ERROR', `vlan tag id ${id} too large (maximum 4095)`)
      const mode = parseAttribute(one, 'nativeMode', nativeMode)
      if (mode && value.native) throw fail('VIR_ERR_XML_ERROR', 'duplicate native vlan setting')
      if (mode) value.native = { mode, tag: id }
      value.tags.push(id)
    }
    const { trunk } = found.attributes
    if (trunk) {
      value.trunk = trunk.toLowerCase() === 'yes'
      if (!value.trunk) checkNoTrunk(value, trunk)
    }
    return value
  },
  format(value, into) {
    if (!value) return
    const { native } = value
    const tags = value.tags.map(id => element('tag', { id, nativeMode: native?.tag === id ? native.mode : undefined }))
    into.children.push(element('vlan', { trunk: value.trunk ? 'yes' : undefined }, tags))
  }
})

function checkNoTrunk({ tags, native }: Vlan, trunk: string): void {
  if (tags.length > 1) {
    throw fail(
      'VIR_ERR_XML_ERROR',
      `invalid "trunk='${trunk}'" in <vlan> - trunk='yes' is required for more than one vlan tag`
    )
  }
  if (native) {
    throw fail(
      'VIR_ERR_XML_ERROR',
      'invalid configuration in <vlan> - "trunk=\'no\'" is not allowed with a native vlan id'
    )
  }
  if (trunk.toLowerCase() !== 'no') {
    throw fail('VIR_ERR_XML_ERROR', `invalid "trunk='${trunk}'" in <vlan> - must be yes or no`)
  }
}
