// <metadata>: any elements with namespaces of their own, kept as they are, one per namespace.
import { custom, type Fields } from '../element.ts'
import { childElements, element, firstChild, type XmlElement } from '../xml.ts'

/** The namespace an element binds its own prefix to. */
export function namespaceOf(node: XmlElement): string | undefined {
  const prefix = node.name.includes(':') ? node.name.split(':')[0] : undefined
  return node.attributes[prefix === undefined ? 'xmlns' : `xmlns:${prefix}`]
}

export const metadataFields = {
  metadata: custom<XmlElement[] | undefined>({
    names: [['metadata', null]],
    parse(node) {
      const found = firstChild(node, 'metadata')
      if (!found) return undefined
      const seen = new Set<string>()
      const kept = childElements(found).filter(child => {
        const uri = namespaceOf(child)
        if (uri === undefined || seen.has(uri)) return false
        seen.add(uri)
        return true
      })
      return kept.length > 0 ? kept : undefined
    },
    format(value, into) {
      if (value) into.children.push(element('metadata', {}, value))
    }
  })
} satisfies Fields
