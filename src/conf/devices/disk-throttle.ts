// <throttlefilters> of a disk: the groups of limits its reads and writes pass, in this order.
import { attr, claim, type Field, type Fields, parseFields, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { string, uint } from '../scalar.ts'
import { childElements, element } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export interface ThrottleFilter {
  /** name of one of the guest's `<throttlegroup>` */
  group: string
  /** number of its node in a running guest's QEMU, libvirt-INDEX-filter; told in saved status only */
  index?: number
}

const filterFields = { group: required(attr('group', string)), index: attr('index', uint) } satisfies Fields

/** `<throttlefilters>` (virDomainDiskDefThrottleFiltersParse); absent without a filter. Without a group libvirt's daemon ends. */
export const throttlefilters: Field<ThrottleFilter[] | undefined> = {
  names: [['throttlefilters', { filter: claim(['throttlefilter', filterFields]) }]],
  parse(node, context) {
    const filters: ThrottleFilter[] = []
    for (const one of childElements(node, 'throttlefilters').flatMap(list => childElements(list, 'throttlefilter'))) {
      const { group, index } = parseFields(one, filterFields, context)
      if (filters.some(known => known.group === group))
        throw fail('VIR_ERR_XML_ERROR', `duplicate filter name '${group}' found`)
      filters.push({ group, ...(context.status && index !== undefined && { index }) })
    }
    return filters.length > 0 ? filters : undefined
  },
  format(filters, into, { status }) {
    if (!filters) return
    const shown = filters.map(({ group, index }) =>
      element('throttlefilter', { group, index: status ? index : undefined })
    )
    into.children.push(element('throttlefilters', {}, shown))
  }
}
