// The one place that meets fast-xml-parser: an ordered element tree in, XML text out. No entities but XML's own five
// are ever expanded and no document type is accepted, so neither bombs nor external references can do harm.
import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { errorsFrom } from './error.ts'

const fail = errorsFrom('VIR_FROM_XML')

/** An element: attributes and children in document order; text children are strings with entities decoded. */
export interface XmlElement {
  name: string
  attributes: Record<string, string>
  children: XmlNode[]
  /** the namespace its prefix, or a default one in force, stands for; parsed elements only */
  namespace?: string
}
export type XmlNode = XmlElement | string

/** libvirt's own ceiling for one XML document (VIR_DOMAIN_XML over RPC: 4 MiB strings), in bytes. */
export const XML_MAX_BYTES = 4 * 1024 * 1024
/** libxml2's default depth limit, which libvirt inherits. */
export const XML_MAX_DEPTH = 256

const TEXT = '#text'
const COMMENT = '#comment'
const CDATA = '#cdata'
const ATTRIBUTES = ':@'
const METADATA = 'metadata'

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  trimValues: false,
  parseTagValue: false,
  parseAttributeValue: false,
  processEntities: false,
  commentPropName: COMMENT,
  cdataPropName: CDATA,
  textNodeName: TEXT,
  maxNestedTags: XML_MAX_DEPTH
})

/** The document's own word about its encoding; the declaration is ASCII whatever follows. */
const ENCODING = /^<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)["']/

/**
 * The text of a document's bytes: UTF-8 unless its byte order mark or declaration says otherwise.
 * @throws VIR_ERR_XML_DETAIL for an unknown encoding and for bytes that are not of it
 */
export function decodeXml(bytes: Uint8Array, what = '(document)'): string {
  const utf16 =
    bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : bytes[0] === 0xff && bytes[1] === 0xfe && 'utf-16le'
  const encoding = utf16 || (ENCODING.exec(Buffer.from(bytes.subarray(0, 200)).toString('latin1'))?.[1] ?? 'UTF-8')
  let decoder: InstanceType<typeof TextDecoder>
  try {
    decoder = new TextDecoder(encoding, { fatal: true })
  } catch (error) {
    throw fail('VIR_ERR_XML_DETAIL', `${what}:1: Unsupported encoding: ${encoding}`, error)
  }
  try {
    return decoder.decode(bytes)
  } catch (error) {
    throw fail('VIR_ERR_XML_DETAIL', `${what}:1: Input is not proper ${encoding}, indicate encoding !`, error)
  }
}

/**
 * Parses one XML document.
 * @param what names the document in errors, as libvirt does: `(domain_definition)`
 * @param verbatim keeps comments and CDATA sections, which are otherwise kept below `<metadata>` only, as elements of
 *   the names #comment and #cdata
 * @throws VIR_ERR_XML_DETAIL for malformed, too large or too deep documents and for any document type declaration
 */
export function parseXml(text: string, what = '(document)', { verbatim = false } = {}): XmlElement {
  const malformed = (reason: string, line = 1, cause?: unknown) =>
    fail('VIR_ERR_XML_DETAIL', `${what}:${line}: ${reason}`, cause)
  if (Buffer.byteLength(text) > XML_MAX_BYTES) throw malformed(`document is larger than ${XML_MAX_BYTES} bytes`)
  const doctype = text.search(/<!(DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)\b/)
  if (doctype >= 0) throw malformed('document type declarations are not accepted', lineAt(text, doctype))
  const control = text.search(/[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/)
  if (control >= 0) throw malformed('PCDATA invalid Char value', lineAt(text, control))
  let raw: RawNode[]
  try {
    raw = parser.parse(text) as RawNode[]
  } catch (error) {
    throw malformed(error instanceof Error ? error.message : String(error), 1, error)
  }
  const valid = XMLValidator.validate(text)
  if (valid !== true) throw malformed(valid.err.msg, valid.err.line)
  const decode = (value: string) =>
    decodeEntities(value, entity =>
      malformed(`Entity '${entity}' not defined`, lineAt(text, text.indexOf(`&${entity}`)))
    )
  const roots = convert(raw, { decode, prefixes: {}, verbatim })
  // fast-xml-parser forgets text behind the root element
  if (/[^\s>][^>]*$/.test(text.slice(text.lastIndexOf('>') + 1)))
    throw malformed('Extra content at the end of the document')
  const elements = roots.filter(node => typeof node !== 'string')
  if (elements.length !== 1 || roots.some(node => typeof node === 'string' && node.trim() !== '')) {
    throw malformed(
      elements.length === 0 ? "Start tag expected, '<' not found" : 'Extra content at the end of the document'
    )
  }
  return elements[0] as XmlElement
}

type RawNode = Record<string, RawNode[] | string | Record<string, string>>

interface Scope {
  decode: (value: string) => string
  /** namespaces in force by prefix, the default one under '' */
  prefixes: Record<string, string>
  verbatim: boolean
}

function convert(nodes: RawNode[], scope: Scope): XmlNode[] {
  const { decode, verbatim } = scope
  const out: XmlNode[] = []
  const text = (value: string) => {
    const last = out.length - 1
    if (typeof out[last] === 'string') out[last] += value
    else if (value !== '') out.push(value)
  }
  for (const node of nodes) {
    for (const name in node) {
      if (name === ATTRIBUTES || name.startsWith('?')) continue
      if (name === TEXT) text(decode(node[name] as string))
      else if (name === COMMENT || name === CDATA) {
        const content = ((node[name] as RawNode[])[0]?.[TEXT] as string) ?? ''
        if (verbatim) out.push({ name, attributes: {}, children: [content] })
        else if (name === CDATA) text(content)
      } else out.push(convertElement(name, node, scope))
    }
  }
  return out
}

function convertElement(name: string, node: RawNode, scope: Scope): XmlElement {
  const attributes: Record<string, string> = {}
  let { prefixes } = scope
  const given = (node[ATTRIBUTES] ?? {}) as Record<string, string>
  for (const key in given) {
    const value = scope.decode(given[key]!.replace(/[\t\n\r]/g, ' '))
    attributes[key] = value
    if (key === 'xmlns' || key.startsWith('xmlns:')) prefixes = { ...prefixes, [key.slice(6)]: value }
  }
  const verbatim = scope.verbatim || name === METADATA
  const element: XmlElement = {
    name,
    attributes,
    children: convert(node[name] as RawNode[], { ...scope, prefixes, verbatim })
  }
  const namespace = prefixes[prefixOf(name)]
  if (namespace) element.namespace = namespace
  return element
}

const prefixOf = (name: string) => (name.includes(':') ? name.slice(0, name.indexOf(':')) : '')

const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

function decodeEntities(value: string, undefinedEntity: (name: string) => Error): string {
  if (!value.includes('&')) return value
  return value.replace(/&(#x[0-9a-fA-F]+|#[0-9]+|[^;&\s]*);?/g, (whole, name: string) => {
    if (!whole.endsWith(';')) throw undefinedEntity(name)
    if (name[0] === '#') {
      const point = name[1] === 'x' ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10)
      const legal = point === 9 || point === 10 || point === 13 || (point >= 0x20 && point <= 0x10ffff)
      if (!legal || (point >= 0xd800 && point <= 0xdfff) || point === 0xfffe || point === 0xffff)
        throw undefinedEntity(name)
      return String.fromCodePoint(point)
    }
    const char = ENTITIES[name]
    if (char === undefined) throw undefinedEntity(name)
    return char
  })
}

function lineAt(text: string, offset: number): number {
  let line = 1
  for (let i = text.indexOf('\n'); i >= 0 && i < offset; i = text.indexOf('\n', i + 1)) line++
  return line
}

/** A new element; undefined attributes are left out. */
export function element(
  name: string,
  attributes: Record<string, string | number | bigint | undefined> = {},
  children: (XmlNode | undefined)[] = []
): XmlElement {
  const given: Record<string, string> = {}
  for (const key in attributes) if (attributes[key] !== undefined) given[key] = String(attributes[key])
  return { name, attributes: given, children: children.filter(child => child !== undefined) }
}

/** The element children, all or those of one name. */
export function childElements(parent: XmlElement, name?: string): XmlElement[] {
  return parent.children.filter(
    (child): child is XmlElement => typeof child !== 'string' && (name === undefined || child.name === name)
  )
}

/** The first child of that name. */
export function firstChild(parent: XmlElement, name: string): XmlElement | undefined {
  for (const child of parent.children) if (typeof child !== 'string' && child.name === name) return child
  return undefined
}

/** The element's text, that of its descendants included (XPath string()). */
export function textOf(node: XmlElement): string {
  let text = ''
  for (const child of node.children) {
    if (typeof child === 'string') text += child
    else if (child.name !== COMMENT) text += textOf(child)
  }
  return text
}

const ESCAPES: Record<string, string> = {
  '<': '&lt;',
  '>': '&gt;',
  '&': '&amp;',
  '"': '&quot;',
  "'": '&apos;',
  '\r': '&#13;'
}

/** Text safe inside elements and quoted attributes, escaped as libvirt's virBufferEscapeString does. */
export function escapeXml(text: string): string {
  return text.replace(/[<>&"'\r]/g, char => ESCAPES[char]!)
}

/**
 * Formats a tree as libvirt does: two spaces of indent, attributes in single quotes, a newline at the end. Elements that
 * were parsed with a namespace are foreign and come out as libxml2 writes them.
 */
export function formatXml(node: XmlElement, indent = ''): string {
  if (node.namespace !== undefined) return `${indent}${formatForeign(node, indent)}\n`
  let head = `${indent}<${node.name}`
  for (const key in node.attributes) head += ` ${key}='${escapeXml(node.attributes[key]!)}'`
  if (node.children.length === 0) return `${head}/>\n`
  const isText = (child: XmlNode): child is string => typeof child === 'string'
  if (node.children.every(isText) || node.children.some(child => isText(child) && child.trim() !== '')) {
    return `${head}>${node.children.map(inline).join('')}</${node.name}>\n`
  }
  let body = ''
  for (const child of node.children) if (typeof child !== 'string') body += formatXml(child, `${indent}  `)
  return body === '' ? `${head}/>\n` : `${head}>\n${body}${indent}</${node.name}>\n`
}

function inline(node: XmlNode): string {
  return typeof node === 'string' ? escapeXml(node) : formatXml(node).trimEnd()
}

const TEXT_ESCAPES: Record<string, string> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '\r': '&#13;' }
const VALUE_ESCAPES: Record<string, string> = { ...TEXT_ESCAPES, '"': '&quot;', '\n': '&#10;', '\t': '&#9;' }

/** libxml2's own form (xmlNodeDump with indent); indent is undefined inside of mixed content. */
function formatForeign(node: XmlNode, indent?: string): string {
  if (typeof node === 'string') return node.replace(/[<>&\r]/g, char => TEXT_ESCAPES[char]!)
  if (node.name === COMMENT) return `<!--${node.children.join('')}-->`
  if (node.name === CDATA) return `<![CDATA[${node.children.join('')}]]>`
  let head = `<${node.name}`
  const keys = Object.keys(node.attributes)
  const declares = (key: string) => key === 'xmlns' || key.startsWith('xmlns:')
  for (const key of [...keys.filter(declares), ...keys.filter(key => !declares(key))]) {
    head += ` ${key}="${node.attributes[key]!.replace(/[<>&"\r\n\t]/g, char => VALUE_ESCAPES[char]!)}"`
  }
  const children = withoutBlanks(node.children)
  if (children.length === 0) return `${head}/>`
  const isMixed = children.some(child => typeof child === 'string' || child.name === CDATA)
  if (indent === undefined || isMixed) {
    return `${head}>${children.map(child => formatForeign(child)).join('')}</${node.name}>`
  }
  const lines = children.map(child => `\n${indent}  ${formatForeign(child, `${indent}  `)}`)
  return `${head}>${lines.join('')}\n${indent}</${node.name}>`
}

/** Drops white space between elements; where text comes first or nothing else is there, it is content. */
function withoutBlanks(children: XmlNode[]): XmlNode[] {
  const isBlank = (node: XmlNode) => typeof node === 'string' && /^[ \t\n\r]*$/.test(node)
  const [first] = children
  if (children.length === 1 || (typeof first === 'string' && !isBlank(first))) return children
  return children.filter(child => !isBlank(child))
}
