// Strict validation: what an element holds has to be claimed by a field of its table.
import { type Fields, nameOf } from './element.ts'
import { childElements, type XmlElement } from './xml.ts'

/**
 * The first attribute or child that no field of the table claims, as a path, undefined if all are claimed;
 * VIR_DOMAIN_DEFINE_VALIDATE refuses it. Elements with a namespace prefix are let pass.
 */
export function unknownName(node: XmlElement, fields: Fields, path = `/${node.name}`): string | undefined {
  const claimed = new Map<string, (Fields | null)[]>()
  for (const name of Object.values(fields).flatMap(field => field.names)) {
    const inner = typeof name === 'string' ? {} : name[1]
    claimed.set(nameOf(name), [...(claimed.get(nameOf(name)) ?? []), inner])
  }
  for (const key in node.attributes) {
    if (!claimed.has(`@${key}`) && !key.includes(':') && key !== 'xmlns') return `${path}/@${key}`
  }
  for (const kid of childElements(node)) {
    if (kid.name.includes(':')) continue
    const inner = claimed.get(kid.name)
    if (!inner) return `${path}/${kid.name}`
    if (inner.includes(null)) continue
    const merged = Object.assign({}, ...inner.map((table, i) => prefixKeys(table!, i))) as Fields
    const found = unknownName(kid, merged, `${path}/${kid.name}`)
    if (found) return found
  }
  return undefined
}

const prefixKeys = (fields: Fields, prefix: number): Fields =>
  Object.fromEntries(Object.entries(fields).map(([key, field]) => [`${prefix}.${key}`, field]))
