// <metadata>: any elements with namespaces of their own, kept as they are, one per namespace.
import { custom, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { childElements, firstChild, formatXml, parseXml, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_XML')

/**
 * An element that can stand alone: every prefix used in it that only `outer` declares is declared on it too, in the order
 * of their use (xmlCopyNode). Its own declarations stay where they are.
 */
function standAlone(node: XmlElement, outer: Record<string, string>): XmlElement {
  const missing: Record<string, string> = {}
  const walk = (at: XmlElement, declared: Set<string>) => {
    const here = new Set([...declared, ...Object.keys(declarations(at))])
    const prefixes = [at.name, ...Object.keys(at.attributes).filter(key => key.includes(':'))]
      .filter(name => !name.startsWith('xmlns:') && !name.startsWith('xml:'))
      .map(name => (name.includes(':') ? `xmlns:${name.slice(0, name.indexOf(':'))}` : 'xmlns'))
    for (const key of prefixes) {
      if (!here.has(key) && outer[key] !== undefined) missing[key] = outer[key]
    }
    for (const child of childElements(at)) walk(child, here)
  }
  walk(node, new Set())
  return { ...node, attributes: { ...node.attributes, ...missing } }
}

/** Namespace declarations among the attributes. */
const declarations = ({ attributes }: XmlElement): Record<string, string> =>
  Object.fromEntries(Object.entries(attributes).filter(([key]) => key === 'xmlns' || key.startsWith('xmlns:')))

/** An element of no namespace that libxml2 writes none the less. */
const FOREIGN = ''

export const metadataFields = {
  /** the element itself; empty where the user's had nothing that may stay (virXMLNodeSanitizeNamespaces) */
  metadata: custom<XmlElement | undefined>({
    names: [['metadata', null]],
    parse(node) {
      const found = firstChild(node, 'metadata')
      if (!found) return undefined
      const seen = new Set<string>()
      const copy = standAlone(found, declarations(node))
      const children = childElements(copy).filter(({ namespace }) => {
        if (namespace === undefined || seen.has(namespace)) return false
        seen.add(namespace)
        return true
      })
      return { ...copy, namespace: FOREIGN, children }
    },
    format(value, into) {
      if (value) into.children.push(value)
    }
  })
} satisfies Fields

interface HasMetadata {
  metadata?: XmlElement
}

/** The custom elements, one a namespace. */
const customElements = ({ metadata }: HasMetadata): XmlElement[] => (metadata ? childElements(metadata) : [])

const localName = (name: string) => name.slice(name.indexOf(':') + 1)

/** The element and all below it, each as `change` has it. */
function mapElements(node: XmlElement, change: (one: XmlElement) => XmlElement): XmlElement {
  const changed = change(node)
  const children = changed.children.map(child => (typeof child === 'string' ? child : mapElements(child, change)))
  return { ...changed, children }
}

/** The custom element of a namespace as text, freed of the namespace (virXMLExtractNamespaceXML). */
export function getMetadata(def: HasMetadata, uri: string): string | undefined {
  const found = customElements(def).find(({ namespace }) => namespace === uri)
  if (!found) return undefined
  const copy = standAlone(found, declarations(def.metadata!))
  const bare = mapElements(copy, one => (one.namespace === uri ? { ...one, name: localName(one.name) } : one))
  const attributes = Object.entries(bare.attributes).filter(
    ([key, value]) => !(/^xmlns(:|$)/.test(key) && value === uri)
  )
  return formatXml({ ...bare, attributes: Object.fromEntries(attributes) }).trimEnd()
}

const NC_NAME = /^[\p{L}_][\p{L}\p{N}\p{M}._-]*$/u

/**
 * Puts a custom element in the place of the one with that namespace, or removes that; `key` becomes its prefix.
 * @throws VIR_ERR_XML_DETAIL, and VIR_ERR_INTERNAL_ERROR for a key that cannot be a prefix
 */
export function setMetadata(def: HasMetadata, uri: string, key: string, xml: string | undefined): void {
  const added: XmlElement[] = []
  if (xml !== undefined) {
    const root = parseXml(xml, '(metadata_xml)', { verbatim: true })
    if (!NC_NAME.test(key)) throw fail('VIR_ERR_INTERNAL_ERROR', 'failed to validate prefix for a new XML namespace')
    const named = mapElements(root, one => {
      const isPlain = one.namespace === undefined && !one.name.startsWith('#')
      return isPlain ? { ...one, name: `${key}:${one.name}`, namespace: uri } : one
    })
    added.push({ ...named, attributes: { [`xmlns:${key}`]: uri, ...named.attributes } })
  }
  if (!def.metadata && added.length === 0) return
  const kept = customElements(def).filter(({ namespace }) => namespace !== uri)
  def.metadata = {
    name: 'metadata',
    attributes: {},
    namespace: FOREIGN,
    ...def.metadata,
    children: [...kept, ...added]
  }
}
