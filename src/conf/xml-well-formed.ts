// Check that a text is a well-formed XML document, in one pass of few regular expressions; words and place of a fault
// are xml-fault.ts's.

const BLANKS = '[ \\t\\n]*'
const START =
  ':A-Z_a-z\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u02ff\\u0370-\\u037d\\u037f-\\u1fff\\u200c\\u200d\\u2070-\\u218f\\u2c00-\\u2fef\\u3001-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\ufffd'
export const NAME = `[${START}][${START}\\-.0-9\\u00b7\\u0300-\\u036f\\u203f\\u2040]*`
const ATTRIBUTE = `[ \\t\\n]+${NAME}${BLANKS}=${BLANKS}(?:"[^"<]*"|'[^'<]*')`
const TAG = `<(?:/(${NAME})${BLANKS}|(${NAME})(?:${ATTRIBUTE})*${BLANKS}(/?))>`
const TEXT = `[^<&]*(?:&(?:#[0-9]+|#x[0-9a-fA-F]+|${NAME});[^<&]*)*`

/** libxml2's default depth limit, which libvirt inherits. */
export const XML_MAX_DEPTH = 256

/** A tag and what comes before it: only blanks outside of the root element. */
const TAG_INSIDE = new RegExp(TEXT + TAG, 'y')
const TAG_OUTSIDE = new RegExp(BLANKS + TAG, 'y')
const TEXT_INSIDE = new RegExp(TEXT, 'y')
const TEXT_OUTSIDE = new RegExp(BLANKS, 'y')

const literal = (value: string) => `${BLANKS}=${BLANKS}(?:"${value}"|'${value}')`
const DECLARATION = new RegExp(
  `<\\?xml[ \\t\\n]+version${literal('[0-9]\\.[0-9]*')}(?:[ \\t\\n]+encoding${literal('([A-Za-z][A-Za-z0-9._-]*)')})?(?:[ \\t\\n]+standalone${literal('(?:yes|no)')})?${BLANKS}\\?>`,
  'y'
)
/** Processing instruction: its target. */
const INSTRUCTION = new RegExp(`<\\?(${NAME})(?=[ \\t\\n]|\\?>)`, 'y')

/** Document types are unknown here; whether the attributes of an element have different names is left to their reader. */
export function isWellFormed(text: string): boolean {
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
      if (lastIndex === text.length && hasRoot && !isInside) return true
      at = behindAside(text, lastIndex, isInside)
      if (at < 0) return false
      continue
    }
    const [, closed, opened, slash] = found
    if (opened === undefined ? open.pop() !== closed : hasRoot && !isInside) return false
    if (opened !== undefined && open.length > XML_MAX_DEPTH) return false
    if (opened !== undefined && slash === '') open.push(opened)
    hasRoot = true
    at = tag.lastIndex
  }
}

/** Every document is UTF-8, whatever it says; a name that means nothing is refused as libxml2 does. */
export function isKnownEncoding(name: string): boolean {
  try {
    new TextDecoder(name)
    return true
  } catch {
    return false
  }
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
  DECLARATION.lastIndex = at
  const declared = target === 'xml' && at === 0 ? DECLARATION.exec(text) : undefined
  if (declared && isKnownEncoding(declared[1] ?? declared[2] ?? 'utf-8')) return DECLARATION.lastIndex
  if (target === 'xml') return -1
  return target === undefined ? -1 : behind(text, '?>', at + 2)
}

/** The end of the first `end` at or after a place, -1 if there is none. */
function behind(text: string, end: string, from: number): number {
  const found = text.indexOf(end, from)
  return found < 0 ? -1 : found + end.length
}
