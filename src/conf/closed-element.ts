// Elements whose children libvirt walks one by one, refusing those it does not know: <features> and the like.
import { child, childAlways, type Def, type Field, type Fields, nameOf, parseFields } from './element.ts'
import { childElements, gathered } from './xml.ts'

/**
 * A child that is refused when it holds an element none of its fields claims; left out when it came out empty.
 * Several of that name are read as one. Its elements are read in document order, the last of a name counts.
 */
export function closedChild<F extends Fields>(
  name: string,
  fields: F,
  unknown: (element: string) => Error
): Field<Def<F> | undefined> {
  const keys = new Map<string, string>()
  for (const key in fields) for (const claimed of fields[key]!.names) keys.set(nameOf(claimed), key)
  const attributes = Object.fromEntries(
    Object.entries(fields).filter(([, { names }]) => names.every(claimed => nameOf(claimed).startsWith('@')))
  )
  return {
    ...child(name, fields),
    parse(node, context) {
      const found = gathered(node, name)
      if (!found) return undefined
      const out: Record<string, unknown> = parseFields(found, attributes, context)
      for (const kid of childElements(found)) {
        const key = keys.get(kid.name)
        if (key === undefined) throw unknown(kid.name)
        const value = fields[key]!.parse({ ...found, children: [kid] }, context)
        if (value !== undefined) out[key] = value
      }
      return out as Def<F>
    }
  }
}

/** As `closedChild`, but written even if it came out empty. */
export function closedChildAlways<F extends Fields>(
  name: string,
  fields: F,
  unknown: (element: string) => Error
): Field<Def<F> | undefined> {
  return { ...closedChild(name, fields, unknown), format: childAlways(name, fields).format }
}
