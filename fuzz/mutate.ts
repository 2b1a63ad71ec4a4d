// Inputs gone wrong: pieces of valid ones cut, doubled, exchanged and given values nobody expects. What they are made of
// is one byte a character (latin1), so that text and bytes are changed by the same means and UTF-8 may be broken, too.
import type { Random } from './random.ts'

/** No input becomes longer: what it takes to refuse more is a matter of limits, which have tests of their own. */
export const INPUT_MAX = 64 * 1024

/** Numbers at the edges of what somebody may have had in mind. */
const NUMBERS = [
  '0',
  '-0',
  '-1',
  '1',
  '007',
  '0x10',
  '1e9',
  '1.5',
  '255',
  '256',
  '65535',
  '65536',
  '2147483647',
  '2147483648',
  '4294967295',
  '4294967296',
  '9007199254740993',
  '9223372036854775807',
  '9223372036854775808',
  '18446744073709551615',
  '18446744073709551616',
  '9'.repeat(60)
]

const VALUES = [
  ...NUMBERS,
  '',
  ' ',
  'yes',
  'no',
  'on',
  'off',
  'default',
  'none',
  'null',
  'true',
  '[]',
  '{}',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '../../etc/passwd',
  '/',
  ',,',
  'a=b',
  '%s%n',
  '&lt;',
  '&#0;',
  '&#x110000;',
  '\\u0000',
  '\\ud800',
  '\xff\xfe',
  '\xf0\x9f\x98\x80',
  '\xed\xa0\x80',
  '\0',
  '\r\n',
  '1-4,^2',
  '0-4294967295',
  'ffff:ff:1f.7',
  'a'.repeat(300)
]

const TAG = /<[^<>]*>/g
const NUMBER = /-?\d+/g
const QUOTED = /'[^'<]*'|"[^"<\\]*"/g
const ELEMENT = /<([A-Za-z][\w:.-]*)[^<>]*\/>|<([A-Za-z][\w:.-]*)[^<>]*>[^<>]*<\/\2>/g
const MEMBER = /"[^"\\]*"\s*:\s*(?:"[^"\\]*"|-?\d+|true|false|null)/g

/** One place a pattern matches, undefined where it does nowhere. */
function place(random: Random, text: string, pattern: RegExp): { from: number; to: number } | undefined {
  const found = [...text.matchAll(pattern)]
  if (found.length === 0) return undefined
  const { index, 0: whole } = random.pick(found)
  return { from: index, to: index + whole.length }
}

function piece(random: Random, text: string): { from: number; to: number } {
  const from = random.below(text.length + 1)
  const most = random.oneIn(8) ? text.length - from : Math.min(40, text.length - from)
  return { from, to: from + random.below(most + 1) }
}

const replaced = (text: string, { from, to }: { from: number; to: number }, by: string): string =>
  text.slice(0, from) + by + text.slice(to)

type Change = (random: Random, text: string, others: readonly string[], words: readonly string[]) => string

/** Changes of what is written in some language. */
const OF_TEXT: Change[] = [
  (random, text) => replaced(text, piece(random, text), ''),
  (random, text) => {
    const { from, to } = piece(random, text)
    return text.slice(0, to) + text.slice(from)
  },
  (random, text, _, words) => {
    const at = random.below(text.length + 1)
    return replaced(text, { from: at, to: at }, random.pick(words.length > 0 && random.oneIn(2) ? words : VALUES))
  },
  (random, text) => {
    const at = place(random, text, NUMBER)
    return at ? replaced(text, at, random.pick(NUMBERS)) : text
  },
  (random, text, _, words) => {
    const at = place(random, text, QUOTED)
    const value = random.pick(words.length > 0 && random.oneIn(3) ? words : VALUES)
    return at ? replaced(text, at, text[at.from] + value + text[at.from]) : text
  },
  // a whole element or member goes, or comes from somewhere else
  (random, text) => {
    const at = place(random, text, random.oneIn(2) ? ELEMENT : MEMBER)
    return at ? replaced(text, at, '') : text
  },
  (random, text, others) => {
    const other = random.pick(others)
    const pattern = random.oneIn(2) ? ELEMENT : MEMBER
    const from = place(random, other, pattern)
    const at = place(random, text, pattern)
    if (!from || !at) return text
    return replaced(text, random.oneIn(2) ? at : { from: at.from, to: at.from }, other.slice(from.from, from.to))
  },
  (random, text, others) => {
    const other = random.pick(others)
    const here = place(random, text, TAG)
    const there = place(random, other, TAG)
    return here && there ? text.slice(0, here.to) + other.slice(there.from) : text
  },
  (random, text) => {
    const here = place(random, text, TAG)
    const there = place(random, text, TAG)
    return here && there ? replaced(text, here, text.slice(there.from, there.to)) : text
  },
  (random, text) => text.slice(0, random.below(text.length + 1)),
  (random, text) => {
    if (text.length === 0) return text
    const at = random.below(text.length)
    return replaced(text, { from: at, to: at + 1 }, String.fromCharCode(random.below(256)))
  }
]

/** Sizes and signs of what binary formats count with. */
const COUNTS = [
  0, 1, 4, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0x3fffff, 0x400001, 0x7fffffff, 0x80000000, 0xffffffff
]

/** Changes of what has numbers and lengths in it. */
const OF_BYTES: Change[] = [
  (random, text) => {
    if (text.length === 0) return text
    const at = random.below(text.length)
    const flipped = text.charCodeAt(at) ^ (1 << random.below(8))
    return replaced(text, { from: at, to: at + 1 }, String.fromCharCode(flipped))
  },
  (random, text) => {
    const bytes = Buffer.alloc(8)
    const size = random.pick([1, 2, 4, 8])
    const value = BigInt(random.oneIn(3) ? text.length + random.below(9) - 4 : random.pick(COUNTS))
    bytes.writeBigInt64BE(BigInt.asIntN(64, random.oneIn(8) ? -value : value))
    let number = bytes.toString('latin1').slice(8 - size)
    if (random.oneIn(4)) number = [...number].reverse().join('')
    const at = random.below(Math.max(1, text.length - size + 1)) & (random.oneIn(4) ? ~0 : ~(size - 1))
    return replaced(text, { from: at, to: at + size }, number)
  },
  (random, text) => replaced(text, piece(random, text), ''),
  (random, text) => {
    const { from, to } = piece(random, text)
    return text.slice(0, to) + text.slice(from)
  },
  (random, text) => {
    const { from, to } = piece(random, text)
    let noise = ''
    for (let i = from; i < to; i++) noise += String.fromCharCode(random.below(256))
    return replaced(text, { from, to }, noise)
  },
  (random, text, others) => {
    const other = random.pick(others)
    return text.slice(0, random.below(text.length + 1)) + other.slice(random.below(other.length + 1))
  },
  (random, text) => text.slice(0, random.below(text.length + 1)),
  (random, text, _, words) => {
    const at = random.below(text.length + 1)
    return words.length > 0 ? replaced(text, { from: at, to: at }, random.pick(words)) : text
  }
]

/** An input made of `text`, and of pieces of others. */
export function mutate(
  random: Random,
  text: string,
  { others, words, isText }: { others: readonly string[]; words: readonly string[]; isText: boolean }
): string {
  let result = text
  for (let left = 1 + random.below(random.oneIn(4) ? 8 : 3); left > 0; left--) {
    const change = random.pick(isText && !random.oneIn(12) ? OF_TEXT : OF_BYTES)
    result = change(random, result, others, words).slice(0, INPUT_MAX)
  }
  return result
}
