// <lease>: a lock the guest holds while it runs, kept by a lock manager.
import { absentIf, attr, childText, custom, type Def, type Field, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { string, ulonglong } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

interface LeaseTarget {
  path: string
  /** bytes into the file */
  offset?: bigint
}

const offset = absentIf(0n, attr('offset', ulonglong))

/** `<target>`: file and offset of the lease. libvirt reports a missing key first, so it is looked for here. */
const target: Field<LeaseTarget> = custom<LeaseTarget>({
  names: [['target', { path: attr('path', string), offset }]],
  parse(node, context) {
    if (!childText('key', string).parse(node, context))
      throw fail('VIR_ERR_XML_ERROR', "Missing 'key' element for lease")
    // libvirt fails with the same code, but without a word
    if (!childText('lockspace', string).parse(node, context))
      throw fail('VIR_ERR_INTERNAL_ERROR', "Missing 'lockspace' element for lease")
    const found = firstChild(node, 'target')
    if (!found) throw fail('VIR_ERR_XML_ERROR', "Missing 'target' element for lease")
    const { path } = found.attributes
    if (path === undefined) throw fail('VIR_ERR_XML_ERROR', "Missing 'path' attribute to 'target' element for lease")
    const bytes = offset.parse(found, context)
    return { path, ...(bytes !== undefined && { offset: bytes }) }
  },
  format({ path, offset }, into) {
    into.children.push(element('target', { path, offset }))
  }
})

export const leaseFields = {
  lockspace: childText('lockspace', string),
  key: childText('key', string),
  target
} satisfies Fields
export type LeaseDef = Def<typeof leaseFields>

export const lease = deviceFamily({
  element: 'lease',
  fields: leaseFields,
  same: (wanted, there) => wanted.lockspace === there.lockspace && wanted.key === there.key
})
