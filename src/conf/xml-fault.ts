// The first fault of a document that is not well-formed, in libxml2's words and at the place where its parser stands
// when it says them (parser.c of libxml2 2.9). Well-formed documents never come here, so that this is read for its order
// and not for its speed.

import { isKnownEncoding, NAME, XML_MAX_DEPTH } from './xml-well-formed.ts'

const NAME_HERE = new RegExp(NAME, 'y')
const BLANKS = /[ \t\n]*/y
const VERSION = /(?:[0-9](?:\.[0-9]*)?)?/y
const ENCODING = /(?:[A-Za-z][A-Za-z0-9._-]*)?/y
const TRUTH = /(?:yes|no)?/y
const NOT_CHAR = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]/u
/** Characters that need no look: of text, of either kind of attribute value. */
const PLAIN = /[^<&\]\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]*/uy
const PLAIN_IN = {
  '"': /[^"<&\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]*/uy,
  "'": /[^'<&\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]*/uy
}
const PREDEFINED = new Set(['lt', 'gt', 'amp', 'quot', 'apos'])
/** Characters of a comment or CDATA section that its error quotes. */
const QUOTED_MAX = 50

/** Place and reason of a document's not being well-formed. */
export interface Fault {
  /** where libxml2's parser stands, which the pointer shows */
  at: number
  reason: string
  /** what the line is told of, where that is another place */
  seenAt?: number
}

interface OpenTag {
  name: string
  /** where it begins */
  at: number
}

/** A name without its prefix, if it has one and more. */
const local = (name: string) => name.replace(/^[^:]+:(?=.)/, '')

/** The first fault, if libxml2 finds one. Document types are unknown here. */
export function firstFault(text: string): Fault | undefined {
  try {
    new Reader(text).document()
    return undefined
  } catch (fault) {
    if (fault instanceof Error) throw fault
    return fault as Fault
  }
}

/** Reads as libxml2's parser does, function by function, and keeps nothing. */
class Reader {
  readonly #text: string
  readonly #open: OpenTag[] = []
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  /** xmlParseDocument */
  document(): void {
    if (this.#text === '') this.#fail('Document is empty')
    if (/^<\?xml[ \t\n]/.test(this.#text)) this.#declaration()
    this.#misc()
    if (!this.#sees('<')) this.#fail("Start tag expected, '<' not found")
    this.#startTag()
    while (this.#open.length > 0 && this.#at < this.#text.length) this.#content()
    const unfinished = this.#open.at(-1)
    if (unfinished) this.#fail(`Premature end of data in tag ${this.#told(unfinished)}`)
    this.#misc()
    if (this.#at < this.#text.length) this.#fail('Extra content at the end of the document')
  }

  /** xmlParseXMLDecl */
  #declaration(): void {
    this.#at += '<?xml'.length
    this.#blanks()
    if (!this.#literal('version', VERSION)) this.#fail('Malformed declaration expecting version')
    if (!this.#sees('?>') && !this.#blanks()) this.#fail('Blank needed here')
    this.#literal('encoding', ENCODING)
    this.#blanks()
    this.#literal('standalone', TRUTH)
    this.#blanks()
    if (!this.#take('?>')) this.#fail("parsing XML declaration: '?>' expected")
  }

  /** Reads one of the three of a declaration, if it is there. */
  #literal(name: string, value: RegExp): boolean {
    if (!this.#take(name)) return false
    this.#blanks()
    if (!this.#take('=')) this.#fail("expected '='")
    this.#blanks()
    const quote = this.#text[this.#at] ?? ''
    if (quote !== '"' && quote !== "'") this.#fail('String not started expecting \' or "')
    this.#at++
    const found = this.#matched(value)
    if (value === ENCODING && found === '') this.#fail('Invalid XML encoding name')
    if (!this.#take(quote)) this.#fail('String not closed expecting " or \'')
    if (value === ENCODING && !isKnownEncoding(found)) this.#fail(`Unsupported encoding ${found}`)
    return true
  }

  /** xmlParseMisc */
  #misc(): void {
    for (;;) {
      this.#blanks()
      if (this.#sees('<?')) this.#instruction()
      else if (this.#sees('<!--')) this.#comment()
      else return
    }
  }

  /** xmlParseContentInternal */
  #content(): void {
    if (this.#sees('<?')) this.#instruction()
    else if (this.#sees('<![CDATA[')) this.#cdata()
    else if (this.#sees('<!--')) this.#comment()
    else if (this.#sees('</')) this.#endTag()
    else if (this.#sees('<')) this.#startTag()
    else if (this.#sees('&')) this.#reference()
    else this.#characters()
  }

  /** xmlParseStartTag2, xmlParseElementStart */
  #startTag(): void {
    if (this.#open.length > XML_MAX_DEPTH) {
      this.#fail(`Excessive depth in document: ${XML_MAX_DEPTH} use XML_PARSE_HUGE option`)
    }
    const at = this.#at++
    const name = this.#name()
    if (name === '') this.#fail('StartTag: invalid element name')
    const tag = { name, at }
    const seen = new Set<string>()
    let twice: string | undefined
    this.#blanks()
    while (this.#at < this.#text.length && !this.#sees('>') && !this.#sees('/>')) {
      const attribute = this.#attribute()
      if (seen.has(attribute)) twice ??= attribute
      seen.add(attribute)
      if (this.#sees('>') || this.#sees('/>')) break
      if (!this.#blanks()) this.#fail('attributes construct error')
    }
    if (twice !== undefined) this.#fail(`Attribute ${twice} redefined`)
    if (this.#take('/>')) return
    if (!this.#take('>')) this.#fail(`Couldn't find end of Start Tag ${this.#told(tag)}`)
    this.#open.push(tag)
  }

  /** xmlParseAttribute2: its name */
  #attribute(): string {
    const name = this.#name()
    if (name === '') this.#fail('error parsing attribute name')
    this.#blanks()
    if (!this.#take('=')) this.#fail(`Specification mandates value for attribute ${local(name)}`)
    this.#blanks()
    const quote = this.#text[this.#at] ?? ''
    if (quote !== '"' && quote !== "'") this.#fail('AttValue: " or \' expected')
    this.#at++
    for (this.#matched(PLAIN_IN[quote]); !this.#take(quote); this.#matched(PLAIN_IN[quote])) {
      if (this.#sees('&')) this.#reference()
      else if (this.#at === this.#text.length) this.#fail("AttValue: ' expected")
      else if (this.#sees('<')) this.#fail("Unescaped '<' not allowed in attributes values")
      else this.#fail('invalid character in attribute value')
    }
    return name
  }

  /** xmlParseEndTag2 */
  #endTag(): void {
    this.#at += 2
    const closed = this.#name()
    this.#blanks()
    if (!this.#take('>')) this.#fail("expected '>'")
    const tag = this.#open.pop()!
    if (closed !== tag.name) {
      this.#fail(`Opening and ending tag mismatch: ${this.#told(tag)} and ${closed || 'unparsable'}`)
    }
  }

  /** xmlParseReference */
  #reference(): void {
    if (this.#take('&#x')) this.#character(/[0-9a-fA-F]*/y, 16, 'CharRef: invalid hexadecimal value')
    else if (this.#take('&#')) this.#character(/[0-9]*/y, 10, 'CharRef: invalid decimal value')
    else this.#entity()
  }

  /** xmlParseEntityRef */
  #entity(): void {
    this.#at++
    const name = this.#name()
    if (name === '') this.#fail('xmlParseEntityRef: no name')
    if (!this.#take(';')) this.#fail("EntityRef: expecting ';'")
    if (!PREDEFINED.has(name)) this.#fail(`Entity '${name}' not defined`)
  }

  /** xmlParseCharRef */
  #character(digits: RegExp, base: number, invalid: string): void {
    const number = this.#matched(digits)
    if (!this.#take(';')) this.#fail(invalid)
    const point = Number.parseInt(number || '0', base)
    if (point >= 0x110000) this.#fail('xmlParseCharRef: character reference out of bounds')
    if (NOT_CHAR.test(String.fromCodePoint(point))) this.#fail(`xmlParseCharRef: invalid xmlChar value ${point}`)
  }

  /** xmlParseCharData */
  #characters(): void {
    const begin = this.#at
    for (this.#matched(PLAIN); this.#sees(']'); this.#matched(PLAIN)) {
      // libxml2 has not moved yet
      if (this.#sees(']]>')) this.#fail("Sequence ']]>' not allowed in content", begin)
      this.#at++
    }
    if (this.#at < this.#text.length && !this.#sees('<') && !this.#sees('&')) {
      this.#fail(`PCDATA invalid Char value ${this.#text.charCodeAt(this.#at)}`)
    }
  }

  /** xmlParseComment */
  #comment(): void {
    const begin = this.#at + '<!--'.length
    const stop = this.#stop('--', begin)
    const read = this.#text.slice(begin, stop)
    this.#at = stop
    if (stop === this.#text.length) this.#fail('Comment not terminated')
    if (!this.#sees('--')) this.#fail(`xmlParseComment: invalid xmlChar value ${this.#text.charCodeAt(stop)}`)
    if (!this.#take('-->')) {
      this.#fail(`Double hyphen within comment${read && `: <!--${read.slice(0, QUOTED_MAX)}`}`)
    }
  }

  /** xmlParseCDSect */
  #cdata(): void {
    const begin = this.#at + '<![CDATA['.length
    this.#at = this.#stop(']]>', begin)
    if (this.#take(']]>')) return
    const read = this.#text.slice(begin, this.#at)
    // libxml2 has no words for less than what may be the section's end, and holds back that much of more
    if (read.length < 2) this.#fail('Unregistered error message')
    this.#fail(`CData section not finished\n${read.slice(0, -2).slice(0, QUOTED_MAX)}`)
  }

  /** xmlParsePI */
  #instruction(): void {
    this.#at += 2
    const target = this.#name()
    if (target === 'xml') this.#fail('XML declaration allowed only at the start of the document')
    if (target === '') this.#fail('xmlParsePI : no target name')
    if (this.#take('?>')) return
    if (!this.#blanks()) this.#fail(`ParsePI: PI ${target} space expected`)
    this.#at = this.#stop('?>', this.#at)
    if (!this.#take('?>')) this.#fail(`ParsePI: PI ${target} never end ...`)
  }

  /** The place of the first such piece, else of what no document may have, else the end. */
  #stop(piece: string, from: number): number {
    const found = this.#text.indexOf(piece, from)
    const end = found < 0 ? this.#text.length : found
    const noChar = this.#text.slice(from, end).search(NOT_CHAR)
    return noChar < 0 ? end : from + noChar
  }

  /** A tag as errors name it. */
  #told({ name, at }: OpenTag): string {
    return `${local(name)} line ${this.#text.slice(0, at).split('\n').length}`
  }

  #fail(reason: string, at = this.#at): never {
    throw { at, reason, seenAt: this.#at } satisfies Fault
  }

  #sees(piece: string): boolean {
    return this.#text.startsWith(piece, this.#at)
  }

  #take(piece: string): boolean {
    const seen = this.#sees(piece)
    if (seen) this.#at += piece.length
    return seen
  }

  #matched(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0] ?? ''
    this.#at += found.length
    return found
  }

  #name(): string {
    return this.#matched(NAME_HERE)
  }

  #blanks(): boolean {
    return this.#matched(BLANKS) !== ''
  }
}
