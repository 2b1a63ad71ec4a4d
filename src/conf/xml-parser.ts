// The one place that meets fast-xml-parser: XML text to an ordered element tree. No entities but XML's own five are ever
// expanded and no document type is accepted, so neither bombs nor external references can do harm. What
// fast-xml-parser lets pass and libxml2 does not is refused here.
import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { errorsFrom, type VirError } from './error.ts'

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

/** Names of the elements that comments and CDATA sections are kept as. */
export const COMMENT = '#comment'
export const CDATA = '#cdata'

const TEXT = '#text'
const ATTRIBUTES = ':@'
const METADATA = 'metadata'
const FORBIDDEN = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]/u
const DOCTYPE = /<!(?:DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)\b/
const BLANK = /^[ \t\n]*$/

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  trimValues: false,
  parseTagValue: false,
  parseAttributeValue: false,
  processEntities: false,
  ignoreDeclaration: true,
  ignorePiTags: true,
  commentPropName: COMMENT,
  cdataPropName: CDATA,
  textNodeName: TEXT,
  maxNestedTags: XML_MAX_DEPTH
})

/**
 * Parses one XML document.
 * @param what names the document in errors, as libvirt does: `(domain_definition)`
 * @param verbatim keeps comments and CDATA sections, which are otherwise kept below `<metadata>` only, as elements of
 *   the names #comment and #cdata
 * @throws VIR_ERR_XML_DETAIL for malformed, too large or too deep documents and for any document type declaration
 */
export function parseXml(text: string, what = '(document)', { verbatim = false } = {}): XmlElement {
  if (Buffer.byteLength(text) > XML_MAX_BYTES) {
    throw fail('VIR_ERR_XML_DETAIL', `${what}:1: document is larger than ${XML_MAX_BYTES} bytes`)
  }
  const lines = text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text
  const document = new Document(lines.charCodeAt(0) === 0xfeff ? lines.slice(1) : lines, what)
  return document.root(verbatim)
}

type RawNode = Record<string, RawNode[] | string | Record<string, string>>

/** What an element inherits. */
interface Scope {
  /** namespaces in force by prefix, the default one under '' */
  prefixes: Record<string, string>
  /** comments, CDATA sections and blanks are kept */
  verbatim: boolean
}

class Document {
  readonly #text: string
  readonly #what: string

  constructor(text: string, what: string) {
    this.#text = text
    this.#what = what
  }

  root(verbatim: boolean): XmlElement {
    const text = this.#text
    if (text === '') throw this.#error('Document is empty')
    const forbidden = text.search(FORBIDDEN)
    if (forbidden >= 0) throw this.#error(`PCDATA invalid Char value ${text.charCodeAt(forbidden)}`, forbidden)
    if (!/^\s*</.test(text)) throw this.#error("Start tag expected, '<' not found")
    const doctype = text.search(DOCTYPE)
    if (doctype >= 0) throw this.#error('document type declarations are not accepted', doctype)
    const valid = XMLValidator.validate(text)
    if (valid !== true) throw this.#error(valid.err.msg, this.#offsetOf(valid.err.line, valid.err.col))
    const raw = this.#parse()
    const roots = this.#children(raw, { prefixes: {}, verbatim: false }, verbatim)
    const elements = roots.filter(node => typeof node !== 'string')
    const stray = roots.find(node => typeof node === 'string' && !BLANK.test(node))
    // fast-xml-parser forgets text behind the root element
    const tail = text.slice(text.lastIndexOf('>') + 1)
    if (elements.length !== 1 || stray !== undefined || !BLANK.test(tail)) {
      const reason =
        elements.length === 0 ? "Start tag expected, '<' not found" : 'Extra content at the end of the document'
      throw this.#error(reason, text.length - tail.length)
    }
    return elements[0]!
  }

  #parse(): RawNode[] {
    try {
      return parser.parse(this.#text) as RawNode[]
    } catch (error) {
      throw this.#error(error instanceof Error ? error.message : String(error), 0, error)
    }
  }

  /** libvirt's form of a parser's error: its line, its words, and the line with a pointer into it. */
  #error(reason: string, at = 0, cause?: unknown): VirError {
    const text = this.#text
    const begin = text.lastIndexOf('\n', at - 1) + 1
    const newline = text.indexOf('\n', begin)
    const line = text.slice(begin, newline < 0 ? text.length : newline).slice(0, 200)
    const number = text.slice(0, begin).split('\n').length
    const pointer = `${'-'.repeat(Math.min(at - begin, 200))}^`
    return fail('VIR_ERR_XML_DETAIL', `${this.#what}:${number}: ${reason}\n${line}\n${pointer}`, cause)
  }

  /** The place of a line and column, both counted from 1. */
  #offsetOf(line: number, column: number): number {
    let begin = 0
    for (let i = 1; i < line; i++) begin = this.#text.indexOf('\n', begin) + 1
    return Math.min(begin + Math.max(0, column - 1), this.#text.length)
  }

  /** The error of a piece of text, at its first occurrence. */
  #errorIn(piece: string, reason: string): VirError {
    return this.#error(reason, Math.max(0, this.#text.indexOf(piece)))
  }

  #children(nodes: RawNode[], scope: Scope, isVerbatim = scope.verbatim): XmlNode[] {
    const out: XmlNode[] = []
    let hasElements = false
    let hasText = false
    const addText = (value: string) => {
      const last = out.length - 1
      if (typeof out[last] === 'string') out[last] += value
      else if (value !== '') out.push(value)
      hasText ||= !BLANK.test(value)
    }
    for (const node of nodes) {
      for (const name in node) {
        if (name === ATTRIBUTES) continue
        if (name === TEXT) addText(this.#content(node[name] as string))
        else if (name === COMMENT || name === CDATA) {
          const content = ((node[name] as RawNode[])[0]?.[TEXT] as string) ?? ''
          if (name === COMMENT && content.includes('--')) {
            throw this.#errorIn(content, 'Double hyphen within comment')
          }
          if (isVerbatim) out.push({ name, attributes: {}, children: [content] })
          else if (name === CDATA) addText(content)
        } else {
          hasElements = true
          out.push(
            this.#element(name, node, isVerbatim === scope.verbatim ? scope : { ...scope, verbatim: isVerbatim })
          )
        }
      }
    }
    return hasElements && !hasText && !isVerbatim ? out.filter(child => typeof child !== 'string') : out
  }

  #element(name: string, node: RawNode, scope: Scope): XmlElement {
    let { prefixes } = scope
    const attributes: Record<string, string> = {}
    const given = node[ATTRIBUTES] as Record<string, string> | undefined
    for (const key in given) {
      const value = this.#attribute(given[key]!)
      attributes[key] = value
      if (key === 'xmlns' || key.startsWith('xmlns:')) prefixes = { ...prefixes, [key.slice(6)]: value }
    }
    const verbatim = scope.verbatim || name === METADATA
    const inner = prefixes === scope.prefixes && verbatim === scope.verbatim ? scope : { prefixes, verbatim }
    const element: XmlElement = { name, attributes, children: this.#children(node[name] as RawNode[], inner) }
    const colon = name.indexOf(':')
    const namespace = prefixes[colon < 0 ? '' : name.slice(0, colon)]
    if (namespace) element.namespace = namespace
    return element
  }

  #attribute(raw: string): string {
    if (raw.includes('<')) throw this.#errorIn(raw, "Unescaped '<' not allowed in attributes values")
    return this.#decode(/[\t\n]/.test(raw) ? raw.replace(/[\t\n]/g, ' ') : raw)
  }

  #content(raw: string): string {
    if (raw.includes(']]>')) throw this.#errorIn(']]>', "Sequence ']]>' not allowed in content")
    return this.#decode(raw)
  }

  /** Text with entities and character references replaced. */
  #decode(raw: string): string {
    if (!raw.includes('&')) return raw
    return raw.replace(/&([^;&\s]*)(;?)/g, (whole, name: string, end: string) => {
      if (name === '') throw this.#errorIn(raw, 'xmlParseEntityRef: no name')
      if (end === '') throw this.#errorIn(whole, "EntityRef: expecting ';'")
      return name[0] === '#' ? this.#character(whole, name) : this.#entity(whole, name)
    })
  }

  #entity(whole: string, name: string): string {
    const char = Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : undefined
    if (char === undefined) throw this.#errorIn(whole, `Entity '${name}' not defined`)
    return char
  }

  #character(whole: string, name: string): string {
    const [, hex, decimal] = /^#(?:x([0-9a-fA-F]+)|([0-9]+))$/.exec(name) ?? []
    const point = hex ? Number.parseInt(hex, 16) : Number(decimal ?? Number.NaN)
    if (!(point < 0x110000)) throw this.#errorIn(whole, `xmlParseCharRef: invalid value ${name.slice(1)}`)
    const char = String.fromCodePoint(point)
    if (FORBIDDEN.test(char)) throw this.#errorIn(whole, `xmlParseCharRef: invalid xmlChar value ${point}`)
    return char
  }
}

const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }
