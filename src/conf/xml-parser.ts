// XML text to an element tree, in one pass and without recursion. Well-formedness is checked as libxml2 does, with its
// words. No entities but XML's own five are ever expanded and no document type is accepted, so neither bombs nor
// external references can do harm.
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

/** An element that is not closed yet. */
interface Open {
  element: XmlElement
  /** where its start tag begins */
  at: number
  /** namespaces in force by prefix, the default one under '' */
  prefixes: Record<string, string>
  /** comments, CDATA sections and blanks are kept */
  verbatim: boolean
  hasElements: boolean
  hasText: boolean
}

const METADATA = 'metadata'
const NAME =
  /[:A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c-\u200d\u2070-\u218f\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\u{10000}-\u{effff}][-:.\w\u00b7\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u037d\u037f-\u1fff\u200c-\u200d\u203f-\u2040\u2070-\u218f\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\u{10000}-\u{effff}]*/uy
const FORBIDDEN = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]/u
const BLANK = /^[ \t\n]*$/
const DECLARATION =
  /<\?xml[ \t\n]+version[ \t\n]*=[ \t\n]*(?:"([^"]*)"|'([^']*)')(?:[ \t\n]+encoding[ \t\n]*=[ \t\n]*(?:"[A-Za-z][\w.-]*"|'[A-Za-z][\w.-]*'))?(?:[ \t\n]+standalone[ \t\n]*=[ \t\n]*(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\n]*\?>/y
const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

const isSpace = (code: number) => code === 32 || code === 10 || code === 9
const LT = 60
const GT = 62
const SLASH = 47
const EQUALS = 61
const QUOTE = 34
const APOSTROPHE = 39
const BANG = 33
const QUESTION = 63

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
  return new Parser(text, what).document(verbatim)
}

class Parser {
  readonly #text: string
  readonly #what: string
  #at = 0

  constructor(text: string, what: string) {
    const lines = text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text
    this.#text = lines.charCodeAt(0) === 0xfeff ? lines.slice(1) : lines
    this.#what = what
  }

  document(verbatim: boolean): XmlElement {
    const text = this.#text
    if (text === '') throw this.#error('Document is empty')
    const forbidden = text.search(FORBIDDEN)
    if (forbidden >= 0) throw this.#forbidden(forbidden)
    this.#declaration()
    this.#misc()
    if (text.charCodeAt(this.#at) !== LT) throw this.#error("Start tag expected, '<' not found")
    const root = this.#elements(verbatim)
    this.#misc()
    if (this.#at < text.length) throw this.#error('Extra content at the end of the document')
    return root
  }

  /** libvirt's form of a parser's error: its line, its words, and the line with a pointer into it. */
  #error(reason: string, at = this.#at): VirError {
    const text = this.#text
    let end = Math.min(at, text.length)
    while (end > 0 && (end === text.length || text[end] === '\n') && text[end - 1] === '\n') end--
    const begin = text.lastIndexOf('\n', end - 1) + 1
    const newline = text.indexOf('\n', begin)
    const line = text.slice(begin, newline < 0 ? text.length : newline).slice(0, 200)
    const number = text.slice(0, Math.min(at, text.length)).split('\n').length
    const pointer = `${'-'.repeat(Math.min(end - begin, 200))}^`
    return fail('VIR_ERR_XML_DETAIL', `${this.#what}:${number}: ${reason}\n${line}\n${pointer}`)
  }

  #forbidden(at: number): VirError {
    const code = this.#text.charCodeAt(at)
    const reason =
      code < 32 ? `PCDATA invalid Char value ${code}` : `Char 0x${code.toString(16).toUpperCase()} out of allowed range`
    return this.#error(reason, at)
  }

  #line(at: number): number {
    return this.#text.slice(0, at).split('\n').length
  }

  #startsWith(text: string): boolean {
    return this.#text.startsWith(text, this.#at)
  }

  #skipSpace(): void {
    while (isSpace(this.#text.charCodeAt(this.#at))) this.#at++
  }

  #name(): string | undefined {
    NAME.lastIndex = this.#at
    const name = NAME.exec(this.#text)?.[0]
    if (name !== undefined) this.#at += name.length
    return name
  }

  /** Moves behind the next occurrence; gives what lies between. */
  #upTo(end: string, otherwise: string): string {
    const found = this.#text.indexOf(end, this.#at)
    if (found < 0) throw this.#error(otherwise, this.#text.length)
    const between = this.#text.slice(this.#at, found)
    this.#at = found + end.length
    return between
  }

  #declaration(): void {
    if (!/^<\?xml[ \t\n]/.test(this.#text.slice(0, 6))) return
    DECLARATION.lastIndex = 0
    const found = DECLARATION.exec(this.#text)
    if (!found) throw this.#error('Malformed declaration expecting version', 6)
    const version = found[1] ?? found[2] ?? ''
    if (!/^1\.\d+$/.test(version)) throw this.#error(`Unsupported version '${version}'`, found[0].length)
    this.#at = found[0].length
  }

  /** Blanks, comments and processing instructions around the root. */
  #misc(): void {
    for (;;) {
      this.#skipSpace()
      if (this.#startsWith('<!--')) this.#comment()
      else if (this.#startsWith('<?')) this.#instruction()
      else if (this.#startsWith('<!')) throw this.#error('document type declarations are not accepted')
      else return
    }
  }

  #comment(): string {
    const begin = this.#at
    this.#at += 4
    const content = this.#upTo('--', 'Comment not terminated')
    if (this.#text.charCodeAt(this.#at) !== GT) {
      const hyphens = this.#at - 2
      throw this.#error(`Double hyphen within comment: ${this.#text.slice(begin, hyphens)}`, hyphens)
    }
    this.#at++
    return content
  }

  #instruction(): void {
    this.#at += 2
    const target = this.#name()
    if (target === undefined) throw this.#error('xmlParsePI : no target name')
    if (target.toLowerCase() === 'xml') {
      throw this.#error('XML declaration allowed only at the start of the document')
    }
    if (!this.#startsWith('?>') && !isSpace(this.#text.charCodeAt(this.#at))) {
      throw this.#error(`ParsePI: PI ${target} space expected`)
    }
    this.#upTo('?>', `ParsePI: PI ${target} never end ...`)
  }

  /** From the root's start tag to its end tag. */
  #elements(verbatim: boolean): XmlElement {
    const text = this.#text
    const stack: Open[] = []
    let open = this.#startTag(undefined, verbatim)
    const { element: root } = open
    // an empty root is closed already
    if (open.at < 0) return root
    for (;;) {
      const tag = text.indexOf('<', this.#at)
      if (tag < 0) {
        this.#at = text.length
        throw this.#error(`Premature end of data in tag ${open.element.name} line ${this.#line(open.at)}`)
      }
      if (tag > this.#at) this.#characters(open, tag)
      const next = text.charCodeAt(tag + 1)
      if (next === SLASH) {
        this.#endTag(open)
        const parent = stack.pop()
        if (!parent) return root
        open = parent
      } else if (next === BANG) this.#markup(open)
      else if (next === QUESTION) this.#instruction()
      else {
        const inner = this.#startTag(open, false)
        open.hasElements = true
        open.element.children.push(inner.element)
        if (inner.at < 0) continue
        stack.push(open)
        open = inner
        if (stack.length >= XML_MAX_DEPTH) {
          throw this.#error(`Excessive depth in document: ${XML_MAX_DEPTH} use XML_PARSE_HUGE option`)
        }
      }
    }
  }

  /** Text up to the next tag. */
  #characters(open: Open, end: number): void {
    const raw = this.#text.slice(this.#at, end)
    const forbidden = raw.indexOf(']]>')
    if (forbidden >= 0) throw this.#error("Sequence ']]>' not allowed in content", this.#at + forbidden)
    this.#addText(open, this.#decode(raw))
    this.#at = end
  }

  #addText(open: Open, value: string): void {
    const { children } = open.element
    const last = children.length - 1
    if (typeof children[last] === 'string') children[last] += value
    else if (value !== '') children.push(value)
    open.hasText ||= !BLANK.test(value)
  }

  /** Comments and CDATA sections. */
  #markup(open: Open): void {
    const begin = this.#text.indexOf('<', this.#at)
    this.#at = begin
    if (this.#startsWith('<!--')) {
      const content = this.#comment()
      if (open.verbatim) open.element.children.push({ name: COMMENT, attributes: {}, children: [content] })
    } else if (this.#startsWith('<![CDATA[')) {
      this.#at += 9
      const content = this.#upTo(']]>', 'CData section not finished')
      if (open.verbatim) open.element.children.push({ name: CDATA, attributes: {}, children: [content] })
      else this.#addText(open, content)
    } else throw this.#error('StartTag: invalid element name', begin + 1)
  }

  /** A start tag; that of an empty element comes back closed, with `at` -1. */
  #startTag(parent: Open | undefined, verbatim: boolean): Open {
    const text = this.#text
    const at = this.#at
    this.#at++
    const name = this.#name()
    if (name === undefined) throw this.#error('StartTag: invalid element name')
    const attributes: Record<string, string> = {}
    let prefixes = parent?.prefixes ?? {}
    for (;;) {
      const before = this.#at
      this.#skipSpace()
      const code = text.charCodeAt(this.#at)
      if (code === GT || code === SLASH) break
      const key = this.#name()
      if (key === undefined) {
        const isCut = this.#at >= text.length
        const unended = `Couldn't find end of Start Tag ${name} line ${this.#line(at)}`
        throw this.#error(isCut ? unended : 'error parsing attribute name')
      }
      if (before === this.#at - key.length) throw this.#error('attributes construct error', before)
      const value = this.#attributeValue(key)
      if (Object.hasOwn(attributes, key)) throw this.#error(`Attribute ${key} redefined`)
      // not a plain assignment, which would take __proto__ for something else
      if (key === '__proto__') Object.defineProperty(attributes, key, { value, enumerable: true })
      else attributes[key] = value
      if (key === 'xmlns' || key.startsWith('xmlns:')) prefixes = { ...prefixes, [key.slice(6)]: value }
    }
    const isEmpty = text.charCodeAt(this.#at) === SLASH
    if (isEmpty) this.#at++
    if (text.charCodeAt(this.#at) !== GT) {
      throw this.#error(`Couldn't find end of Start Tag ${name} line ${this.#line(at)}`)
    }
    this.#at++
    const element: XmlElement = { name, attributes, children: [] }
    const colon = name.indexOf(':')
    const namespace = prefixes[colon < 0 ? '' : name.slice(0, colon)]
    if (namespace) element.namespace = namespace
    return {
      element,
      at: isEmpty ? -1 : at,
      prefixes,
      verbatim: verbatim || parent?.verbatim === true || name === METADATA,
      hasElements: false,
      hasText: false
    }
  }

  #attributeValue(key: string): string {
    const text = this.#text
    this.#skipSpace()
    if (text.charCodeAt(this.#at) !== EQUALS) throw this.#error(`Specification mandates value for attribute ${key}`)
    this.#at++
    this.#skipSpace()
    const quote = text.charCodeAt(this.#at)
    if (quote !== QUOTE && quote !== APOSTROPHE) throw this.#error(`AttValue: " or ' expected`)
    this.#at++
    const begin = this.#at
    const mark = text[begin - 1]!
    const end = text.indexOf(mark, begin)
    const raw = text.slice(begin, end < 0 ? text.length : end)
    const tag = raw.indexOf('<')
    if (tag >= 0) throw this.#error("Unescaped '<' not allowed in attributes values", begin + tag)
    if (end < 0) throw this.#error(`AttValue: ${mark} expected`, text.length)
    const value = this.#decode(/[\t\n]/.test(raw) ? raw.replace(/[\t\n]/g, ' ') : raw)
    this.#at = end + 1
    return value
  }

  #endTag(open: Open): void {
    const { element } = open
    this.#at = this.#text.indexOf('<', this.#at) + 2
    const begin = this.#at
    const name = this.#name()
    if (name === undefined) throw this.#error("expected '>'", begin + 1)
    this.#skipSpace()
    const isClosed = this.#text.charCodeAt(this.#at) === GT
    if (name !== element.name) {
      if (isClosed) this.#at++
      const line = this.#line(open.at)
      throw this.#error(`Opening and ending tag mismatch: ${element.name} line ${line} and ${name}`)
    }
    if (!isClosed) throw this.#error("expected '>'", begin + name.length)
    this.#at++
    if (open.hasElements && !open.hasText && !open.verbatim) {
      element.children = element.children.filter(child => typeof child !== 'string')
    }
  }

  /** Text with entities and character references replaced; it begins where the parser stands. */
  #decode(raw: string): string {
    let found = raw.indexOf('&')
    if (found < 0) return raw
    let out = ''
    let from = 0
    while (found >= 0) {
      const [char, length] = this.#reference(this.#at + found)
      out += raw.slice(from, found) + char
      from = found + length
      found = raw.indexOf('&', from)
    }
    return out + raw.slice(from)
  }

  /** What a reference stands for, and how long it is. */
  #reference(at: number): [char: string, length: number] {
    const text = this.#text
    if (text[at + 1] === '#') return this.#characterReference(at)
    NAME.lastIndex = at + 1
    const name = NAME.exec(text)?.[0]
    if (name === undefined) throw this.#error('xmlParseEntityRef: no name', at + 1)
    const end = at + 1 + name.length
    if (text[end] !== ';') throw this.#error("EntityRef: expecting ';'", end)
    const char = Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : undefined
    if (char === undefined) throw this.#error(`Entity '${name}' not defined`, end + 1)
    return [char, end + 1 - at]
  }

  #characterReference(at: number): [char: string, length: number] {
    const isHex = this.#text[at + 2] === 'x'
    const pattern = isHex ? /&#x([0-9a-fA-F]+);/y : /&#([0-9]+);/y
    pattern.lastIndex = at
    const found = pattern.exec(this.#text)
    if (!found) throw this.#error(`xmlParseCharRef: invalid ${isHex ? 'hexadecimal' : 'decimal'} value`, at + 2)
    const end = at + found[0].length
    const point = Number.parseInt(found[1]!, isHex ? 16 : 10)
    if (point >= 0x110000) throw this.#error('xmlParseCharRef: character reference out of bounds', end)
    const char = String.fromCodePoint(point)
    if (FORBIDDEN.test(char)) throw this.#error(`xmlParseCharRef: invalid xmlChar value ${point}`, end)
    return [char, end - at]
  }
}
