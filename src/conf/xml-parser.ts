// The one place that meets fast-xml-parser: XML text to an ordered element tree. No entities but XML's own five are ever
// expanded and no document type is accepted, so neither bombs nor external references can do harm. What
// fast-xml-parser lets pass and libxml2 does not is refused here.
import { type MatcherView, type X2jOptions, XMLParser } from 'fast-xml-parser'
import { type ErrorDomain, errorsFrom, VirError } from './error.ts'
import { firstFault } from './xml-fault.ts'
import { isWellFormed, XML_MAX_DEPTH } from './xml-well-formed.ts'

const fail = errorsFrom('VIR_FROM_XML')

/** Whose error a malformed document is, by what libvirt calls it. */
const READERS: Partial<Record<string, ErrorDomain>> = {
  '(domain_definition)': 'VIR_FROM_DOMAIN',
  '(CPU_definition)': 'VIR_FROM_CPU',
  '(domain_snapshot)': 'VIR_FROM_DOMAIN_SNAPSHOT',
  '(domain_checkpoint)': 'VIR_FROM_DOMAIN_CHECKPOINT',
  '(domain_backup)': 'VIR_FROM_DOMAIN',
  '(metadata_xml)': 'VIR_FROM_DOMAIN'
}

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

/** Characters of an error's message: it repeats a line, which may be all of a document. */
const MESSAGE_MAX = 64 * 1024

/** Names of the elements that comments and CDATA sections are kept as. */
export const COMMENT = '#comment'
export const CDATA = '#cdata'

/** No element can have this name. */
const ASIDE = '-'
const NOT_CONTENT = /<!--([\s\S]*?)-->|<!\[CDATA\[([\s\S]*?)\]\]>|<\?[\s\S]*?\?>/g
const METADATA = 'metadata'
const FORBIDDEN = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]/u
const DOCTYPE = /<!(?:DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)\b/
const BLANK = /^[ \t\n]*$/

const isElement = (node: XmlNode): node is XmlElement => typeof node !== 'string'

/** Settings of fast-xml-parser: it takes tags, attributes and text apart. Values are decoded here. */
const OPTIONS = {
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  trimValues: false,
  parseTagValue: false,
  parseAttributeValue: false,
  processEntities: false,
  jPath: false,
  maxNestedTags: XML_MAX_DEPTH
} satisfies X2jOptions

/**
 * Parses one XML document.
 * @param what the document, as libvirt calls it, which says whose error a fault is: `(domain_definition)`
 * @param verbatim keeps comments and CDATA sections, which are otherwise kept below `<metadata>` only, as elements of
 *   the names #comment and #cdata
 * @throws VIR_ERR_XML_DETAIL for malformed, too large or too deep documents and for any document type declaration
 */
export function parseXml(text: string, what = '(document)', { verbatim = false } = {}): XmlElement {
  if (Buffer.byteLength(text) > XML_MAX_BYTES) {
    throw fail('VIR_ERR_XML_DETAIL', `at line 1: document is larger than ${XML_MAX_BYTES} bytes`)
  }
  const lines = text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text
  const document = new Document(lines.charCodeAt(0) === 0xfeff ? lines.slice(1) : lines, what)
  return document.root(verbatim)
}

/** An element of which the end has not been read. */
interface OpenElement {
  element: XmlElement
  /** namespaces in force by prefix, the default one under '' */
  prefixes: Record<string, string>
  /** comments, CDATA sections and blanks are kept */
  verbatim: boolean
  hasElements: boolean
  hasText: boolean
}

/** Builds the tree as fast-xml-parser reads: faster than making ours of its own, which holds an object for each name. */
class Document {
  readonly #text: string
  readonly #what: string
  readonly #open: OpenElement[] = []
  /** comments and CDATA sections, which fast-xml-parser reports to nobody: an ASIDE stands for each */
  readonly #asides: XmlElement[] = []
  #nextAside = 0
  /** attributes read since the last tag */
  #attributes = 0
  #root: XmlElement | undefined

  constructor(text: string, what: string) {
    this.#text = text
    this.#what = what
  }

  root(verbatim: boolean): XmlElement {
    const text = this.#text
    const doctype = text.search(DOCTYPE)
    if (FORBIDDEN.test(text) || (doctype < 0 && !isWellFormed(text))) throw this.#illFormed()
    if (doctype >= 0) throw this.#error('document type declarations are not accepted', doctype)
    this.#read(verbatim)
    return this.#root!
  }

  #read(verbatim: boolean): void {
    const parser = new XMLParser({
      ...OPTIONS,
      updateTag: (name, path, attributes) =>
        this.#addElement(name, (path as MatcherView).getDepth(), attributes, verbatim),
      tagValueProcessor: (_name, raw, path) => this.#addText(this.#content(raw), (path as MatcherView).getDepth()),
      attributeValueProcessor: (_name, raw) => this.#attribute(raw)
    })
    const plain = this.#text.replace(NOT_CONTENT, (_whole, comment?: string, cdata?: string) => {
      const content = comment ?? cdata
      if (content === undefined) return ''
      this.#asides.push({ name: comment === undefined ? CDATA : COMMENT, attributes: {}, children: [content] })
      return `<${ASIDE}/>`
    })
    try {
      parser.parse(plain)
    } catch (error) {
      if (error instanceof VirError) throw error
      throw this.#error(error instanceof Error ? error.message : String(error), 0, { cause: error })
    }
    this.#closeTo(0)
  }

  /** A start tag. The answer keeps fast-xml-parser from adding it to its own tree. */
  #addElement(name: string, depth: number, given: Record<string, string>, verbatim: boolean): false {
    this.#closeTo(depth - 1)
    const parent = this.#open.at(-1)
    if (name === ASIDE) {
      this.#addAside(this.#asides[this.#nextAside++]!, parent)
      return false
    }
    let prefixes = parent?.prefixes ?? {}
    const attributes = this.#attributes === 0 ? {} : given
    for (const key in attributes) {
      this.#attributes--
      if (key.startsWith('xmlns') && (key.length === 5 || key[5] === ':')) {
        prefixes = { ...prefixes, [key.slice(6)]: attributes[key]! }
      }
    }
    if (this.#attributes !== 0) throw this.#illFormed()
    const element: XmlElement = { name, attributes, children: [] }
    const colon = name.indexOf(':')
    const namespace = prefixes[colon < 0 ? '' : name.slice(0, colon)]
    if (namespace) element.namespace = namespace
    if (parent) {
      parent.element.children.push(element)
      parent.hasElements = true
    } else this.#root = element
    const isVerbatim = (parent?.verbatim ?? verbatim) || name === METADATA
    this.#open.push({ element, prefixes, verbatim: isVerbatim, hasElements: false, hasText: false })
    return false
  }

  #addAside(aside: XmlElement, parent: OpenElement | undefined): void {
    if (parent?.verbatim) parent.element.children.push(aside)
    else if (parent && aside.name === CDATA) this.#addText(aside.children[0] as string, this.#open.length)
  }

  /** Text of the element of that depth. The answer keeps fast-xml-parser from adding it to its own tree. */
  #addText(value: string, depth: number): '' {
    this.#closeTo(depth)
    const parent = this.#open.at(-1)!
    const { children } = parent.element
    const last = children.length - 1
    // a list made with its only child takes less memory than one it is pushed to
    if (last < 0 && value !== '') parent.element.children = [value]
    else if (typeof children[last] === 'string') children[last] += value
    else if (value !== '') children.push(value)
    parent.hasText ||= !BLANK.test(value)
    return ''
  }

  /** Ends all elements deeper than that. Blanks between elements are dropped. */
  #closeTo(depth: number): void {
    while (this.#open.length > depth) {
      const { element, verbatim, hasElements, hasText } = this.#open.pop()!
      if (hasElements && !hasText && !verbatim) element.children = element.children.filter(isElement)
    }
  }

  /** What libxml2 says of a document that is not well-formed. */
  #illFormed(): VirError {
    const { at, reason, seenAt } = firstFault(this.#text) ?? { at: 0, reason: 'not well-formed' }
    return this.#error(reason, at, { seenAt })
  }

  /** libvirt's form of a parser's error: its line, its words, and the line with a pointer into it. */
  #error(
    reason: string,
    at = 0,
    { seenAt = at, cause }: { seenAt?: number | undefined; cause?: unknown } = {}
  ): VirError {
    const text = this.#text
    const isBreak = (place: number) => text[place] === '\n'
    // at the end, the line is the last one that is not empty
    let begin = at === text.length ? Math.max(at - 1, 0) : at
    while (begin > 0 && isBreak(begin)) begin--
    while (begin > 0 && !isBreak(begin)) begin--
    if (isBreak(begin)) begin++
    const newline = text.indexOf('\n', begin)
    const line = text.slice(begin, newline < 0 ? text.length : newline)
    // a dash a byte
    const pointer = Buffer.from(line.slice(0, at - begin))
      .toString('latin1')
      .replace(/[^\t]/g, '-')
    const number = text.slice(0, seenAt).split('\n').length
    const message = `at line ${number}: ${reason}\n${line || '(null)'}\n${pointer}^`
    return errorsFrom(READERS[this.#what] ?? 'VIR_FROM_XML')('VIR_ERR_XML_DETAIL', message.slice(0, MESSAGE_MAX), cause)
  }

  #attribute(raw: string): string {
    this.#attributes++
    return this.#decode(/[\t\n]/.test(raw) ? raw.replace(/[\t\n]/g, ' ') : raw)
  }

  #content(raw: string): string {
    if (raw.includes(']]>')) throw this.#illFormed()
    return this.#decode(raw)
  }

  /** Text with entities and character references replaced. */
  #decode(raw: string): string {
    if (!raw.includes('&')) return raw
    return raw.replace(/&([^;&\s]*)(;?)/g, (_whole, name: string, end: string) => {
      const char = end === '' ? undefined : name[0] === '#' ? character(name) : ENTITIES.get(name)
      if (char === undefined) throw this.#illFormed()
      return char
    })
  }
}

/** What a character reference stands for, if a document may have it. */
function character(name: string): string | undefined {
  const [, hex, decimal] = /^#(?:x([0-9a-fA-F]+)|([0-9]+))$/.exec(name) ?? []
  const point = hex ? Number.parseInt(hex, 16) : Number(decimal ?? Number.NaN)
  if (!(point < 0x110000)) return undefined
  const char = String.fromCodePoint(point)
  return FORBIDDEN.test(char) ? undefined : char
}

const ENTITIES = new Map(Object.entries({ lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }))
