// Check that a text is a well-formed XML document, in one pass of few regular expressions. fast-xml-parser's validator
// can tell too, but takes as long as half of the parse: it is asked only for words and place of a fault found here.

const BLANKS = '[ \\t\\n]*'
const START =
  ':A-Z_a-z\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u02ff\\u0370-\\u037d\\u037f-\\u1fff\\u200c\\u200d\\u2070-\\u218f\\u2c00-\\u2fef\\u3001-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\ufffd'
const NAME = `[${START}][${START}\\-.0-9\\u00b7\\u0300-\\u036f\\u203f\\u2040]*`
const ATTRIBUTE = `[ \\t\\n]+${NAME}${BLANKS}=${BLANKS}(?:"[^"<]*"|'[^'<]*')`
const TAG = `<(?:/(${NAME})${BLANKS}|(${NAME})(?:${ATTRIBUTE})*${BLANKS}(/?))>`
const TEXT = `[^<&]*(?:&(?:#[0-9]+|#x[0-9a-fA-F]+|${NAME});[^<&]*)*`

/** A tag and what comes before it: only blanks outside of the root element. */
const TAG_INSIDE = new RegExp(TEXT + TAG, 'y')
const TAG_OUTSIDE = new RegExp(BLANKS + TAG, 'y')
const TEXT_INSIDE = new RegExp(TEXT, 'y')
const TEXT_OUTSIDE = new RegExp(BLANKS, 'y')
const INSTRUCTION = new RegExp(`<\\?(${NAME})(?=[ \\t\\n]|\\?>)`, 'y')

/**
 * Faults by what stands where the document stops being well-formed, in libxml2's words; the first match counts. A
 * pattern ends with the character at fault.
 */
type Faults = readonly (readonly [pattern: RegExp, reason: string])[]
const ASIDE_FAULTS: Faults = [
  [/<(?=!--(?![\s\S]*?-->))/y, 'Comment not terminated'],
  [/<(?=!--)/y, 'Double hyphen within comment'],
  [/<(?=\?xml[\s?])/y, 'XML declaration allowed only at the start of the document'],
  [/<(?=\?)/y, 'PI not finished']
]
const TAG_FAULTS: Faults = [
  [/<(?=!\[CDATA\[)/y, 'CData section not finished'],
  [
    /<[^!?/<>"'=\s](?:[^<>"']*(?:"[^"<]*"|'[^'<]*'))*[^<>"']*(?:"[^"<]*|'[^'<]*)</y,
    "Unescaped '<' not allowed in attributes values"
  ],
  [/<(?=[^!?/])/y, 'attributes construct error'],
  [/</y, 'StartTag: invalid element name']
]

/** Place and reason of a document's not being well-formed. */
export interface Fault {
  at: number
  reason: string
}

/**
 * The first thing that is not well-formed, if any. Document types are unknown here; whether the attributes of an element
 * have different names is left to their reader.
 */
export function findFault(text: string): Fault | undefined {
  const open: string[] = []
  let hasRoot = false
  let at = 0
  for (;;) {
    const isInside = open.length > 0
    const tag = isInside ? TAG_INSIDE : TAG_OUTSIDE
    tag.lastIndex = at
    const found = tag.exec(text)
    if (!found) {
      const words = isInside ? TEXT_INSIDE : TEXT_OUTSIDE
      words.lastIndex = at
      words.test(text)
      const { lastIndex } = words
      if (lastIndex === text.length && hasRoot && !isInside) return undefined
      at = behindAside(text, lastIndex, isInside)
      if (at < 0) return faultAt(text, lastIndex, hasRoot && !isInside)
      continue
    }
    const [, closed, opened, slash] = found
    if (opened === undefined ? open.pop() !== closed : hasRoot && !isInside) return faultAt(text, at, !isInside)
    if (opened !== undefined && slash === '') open.push(opened)
    hasRoot = true
    at = tag.lastIndex
  }
}

function faultAt(text: string, at: number, isExtra: boolean): Fault {
  for (const [pattern, reason] of isExtra ? ASIDE_FAULTS : [...ASIDE_FAULTS, ...TAG_FAULTS]) {
    pattern.lastIndex = at
    if (pattern.test(text)) return { at: pattern.lastIndex - 1, reason }
  }
  return { at, reason: 'Extra content at the end of the document' }
}

/** The end of the comment, CDATA section or processing instruction that begins there; -1 for anything else. */
function behindAside(text: string, at: number, isInside: boolean): number {
  if (text.startsWith('<!--', at)) {
    const end = text.indexOf('--', at + 4)
    return text[end + 2] === '>' ? behind(text, '-->', end) : -1
  }
  if (isInside && text.startsWith('<![CDATA[', at)) return behind(text, ']]>', at + 9)
  INSTRUCTION.lastIndex = at
  const target = INSTRUCTION.exec(text)?.[1]
  return target === undefined || (target === 'xml' && at > 0) ? -1 : behind(text, '?>', at + 2)
}

/** The end of the first `end` at or after a place, -1 if there is none. */
function behind(text: string, end: string, from: number): number {
  const found = text.indexOf(end, from)
  return found < 0 ? -1 : found + end.length
}
