// Element trees, the form of parsed documents: looked through here and written. xml-parser.ts makes them from text.
import { errorsFrom } from './error.ts'
import { CDATA, COMMENT, type XmlElement, type XmlNode } from './xml-parser.ts'

export { parseXml, XML_MAX_BYTES, type XmlElement, type XmlNode } from './xml-parser.ts'

const fail = errorsFrom('VIR_FROM_XML')

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
    throw fail('VIR_ERR_XML_DETAIL', `${what}:1: Unsupported encoding ${encoding}`, error)
  }
  try {
    return decoder.decode(bytes)
  } catch (error) {
    throw fail('VIR_ERR_XML_DETAIL', `${what}:1: Input is not proper ${encoding}, indicate encoding !`, error)
  }
}

/** A new element; undefined attributes and children are left out. The list of children becomes its own. */
export function element(
  name: string,
  attributes: Record<string, string | number | bigint | undefined> = {},
  children: (XmlNode | undefined)[] = []
): XmlElement {
  const given: Record<string, string> = {}
  for (const key in attributes) if (attributes[key] !== undefined) given[key] = String(attributes[key])
  const all = children.includes(undefined) ? children.filter(child => child !== undefined) : children
  return { name, attributes: given, children: all as XmlNode[] }
}

/** The element children, all or those of one name. */
export function childElements(parent: XmlElement, name?: string): XmlElement[] {
  return parent.children.filter(
    (child): child is XmlElement => typeof child !== 'string' && (name === undefined || isPlain(child, name))
  )
}

/** A name without a prefix means no element of a default namespace, as in XPath. */
const isPlain = (node: XmlElement, name: string) => node.name === name && node.namespace === undefined

/** The first child of that name. */
export function firstChild(parent: XmlElement, name: string): XmlElement | undefined {
  for (const child of parent.children) if (typeof child !== 'string' && isPlain(child, name)) return child
  return undefined
}

/**
 * The attribute of a child as libvirt reads it by XPath, `string(./name/@attribute)`: that of the first child which has
 * it; an empty one is none.
 */
export function xpathAttribute(parent: XmlElement, name: string, attribute: string): string | undefined {
  const found = childElements(parent, name).find(child => child.attributes[attribute] !== undefined)
  return found?.attributes[attribute] || undefined
}

/** All elements of that name as one, as XPath sees them: ./cputune/vcpupin of any, ./os/@firmware of the first that has it. */
export function gathered(parent: XmlElement, name: string): XmlElement | undefined {
  const [first, ...others] = childElements(parent, name)
  if (!first || others.length === 0) return first
  const all = [first, ...others]
  const attributes: Record<string, string> = Object.assign({}, ...all.map(one => one.attributes).reverse())
  return { ...first, attributes, children: all.flatMap(one => one.children) }
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

const SPECIAL = /[<>&"'\r]/
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
  return SPECIAL.test(text) ? text.replace(/[<>&"'\r]/g, char => ESCAPES[char]!) : text
}

/**
 * Formats a tree as libvirt does: two spaces of indent, attributes in single quotes, a newline at the end. Elements that
 * were parsed with a namespace are foreign and come out as libxml2 writes them.
 */
export function formatXml(node: XmlElement, indent = ''): string {
  const { name, children } = node
  if (node.namespace !== undefined) return `${indent}${formatForeign(node, indent)}\n`
  let head = `${indent}<${name}`
  for (const key in node.attributes) head += ` ${key}='${escapeXml(node.attributes[key]!)}'`
  if (children.length === 0) return `${head}/>\n`
  if (isInline(children)) return `${head}>${children.map(inline).join('')}</${name}>\n`
  const deeper = `${indent}  `
  let body = ''
  for (const child of children) if (typeof child !== 'string') body += formatXml(child, deeper)
  return body === '' ? `${head}/>\n` : `${head}>\n${body}${indent}</${name}>\n`
}

/** True for nothing but text, or text between elements. */
function isInline(children: XmlNode[]): boolean {
  let hasElements = false
  for (const child of children) {
    if (typeof child !== 'string') hasElements = true
    else if (child.trim() !== '') return true
  }
  return !hasElements
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
