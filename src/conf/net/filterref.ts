// <filterref>: a network filter and its variables (virNWFilterParseParamAttributes).
import { claim, custom, type Field } from '../element.ts'
import { childElements, element, firstChild, type XmlElement } from '../xml.ts'

export interface FilterRef {
  filter: string
  /** values of each variable, variables sorted by name */
  parameters: Record<string, string[]>
}

/** `<filterref>`. @param allowed tells whether the owner takes filters; others ignore the element, as libvirt does */
export function filterref(allowed: (owner: XmlElement) => boolean): Field<FilterRef | undefined> {
  return custom<FilterRef | undefined>({
    names: [
      [
        'filterref',
        { filter: claim('@filter'), parameters: claim(['parameter', { claimed: claim('@name', '@value') }]) }
      ]
    ],
    parse(node) {
      const found = allowed(node) ? firstChild(node, 'filterref') : undefined
      const filter = found?.attributes.filter
      if (!found || filter === undefined) return undefined
      const variables = new Map<string, string[]>()
      for (const { attributes } of childElements(found, 'parameter')) {
        const { name, value } = attributes
        // a name or value with other characters does not count
        if (name === undefined || value === undefined || !/^\w*$/.test(name) || !/^[\w.:]+$/.test(value)) continue
        variables.set(name, [...(variables.get(name) ?? []), value])
      }
      const sorted = [...variables].sort(([a], [b]) => (a < b ? -1 : 1))
      return { filter, parameters: Object.fromEntries(sorted) }
    },
    format(value, into) {
      if (!value) return
      const parameters = Object.entries(value.parameters).flatMap(([name, values]) =>
        values.map(one => element('parameter', { name, value: one }))
      )
      into.children.push(element('filterref', { filter: value.filter }, parameters))
    }
  })
}
