// Sets of CPUs and nodes in libvirt's notation, "0-3,^2,8": read, written canonically ("0-1,3,8"), compared.
// A definition keeps the canonical text; code that counts or compares works on the bits, a bigint with bit n for CPU n.
import { errorsFrom } from './error.ts'
import { firstChild, type XmlElement } from './xml.ts'

const failArg = errorsFrom('VIR_FROM_NONE')
const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Bit n is set if n is in the set. */
export type Bitmap = bigint

/** The sets of a definition hold numbers below this (VIR_DOMAIN_CPUMASK_LEN). */
export const CPUMASK_LENGTH = 16384

const NUMBER = /\s*[+-]?\d+/y
const SPACE = /\s*/y

/**
 * Reads a set: numbers, ranges and exclusions separated by commas; later items win.
 * @throws VIR_ERR_INVALID_ARG, as virBitmapParse
 */
export function parseBitmap(text: string, length = CPUMASK_LENGTH): Bitmap {
  const bad = () => failArg('VIR_ERR_INVALID_ARG', `Failed to parse bitmap '${text}'`)
  let at = 0
  const skip = () => {
    SPACE.lastIndex = at
    SPACE.exec(text)
    at = SPACE.lastIndex
  }
  const number = () => {
    NUMBER.lastIndex = at
    const found = NUMBER.exec(text)
    if (!found || Number(found[0]) < 0 || Number(found[0]) >= length) throw bad()
    at = NUMBER.lastIndex
    return Number(found[0])
  }
  let bits = 0n
  skip()
  if (at === text.length) throw bad()
  while (at < text.length) {
    const negated = text[at] === '^'
    if (negated) at++
    if (!/\d/.test(text[at] ?? '')) throw bad()
    const first = number()
    skip()
    if (text[at] === '-') {
      if (negated) throw bad()
      at++
      const last = number()
      if (last < first) throw bad()
      bits |= ((1n << BigInt(last - first + 1)) - 1n) << BigInt(first)
      skip()
    } else if (negated) bits &= ~(1n << BigInt(first))
    else bits |= 1n << BigInt(first)
    if (at === text.length) break
    if (text[at] !== ',') throw bad()
    at++
    skip()
  }
  return bits
}

/** The canonical text: ascending, ranges joined; '' for the empty set. */
export function formatBitmap(bits: Bitmap): string {
  const runs: string[] = []
  let start = -1
  const digits = bits === 0n ? '' : bits.toString(2)
  for (let n = 0; n <= digits.length; n++) {
    const set = digits[digits.length - 1 - n] === '1'
    if (set && start < 0) start = n
    else if (!set && start >= 0) {
      runs.push(start === n - 1 ? `${start}` : `${start}-${n - 1}`)
      start = -1
    }
  }
  return runs.join(',')
}

/** The numbers in the set, ascending. */
export function bitsOf(bits: Bitmap): number[] {
  const digits = bits.toString(2)
  const out: number[] = []
  for (let n = 0; n < digits.length; n++) if (digits[digits.length - 1 - n] === '1') out.push(n)
  return out
}

/** The count of numbers in the set. */
export const countBits = (bits: Bitmap): number => bitsOf(bits).length

/** The set of all numbers below `length`. */
export const allBits = (length: number): Bitmap => (1n << BigInt(length)) - 1n

/** A set that must not be empty, made canonical; `what` names it in libvirt's message. */
export function requireBits(text: string, what: string): string {
  const bits = parseBitmap(text)
  if (bits === 0n) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Invalid value of '${what}': ${text}`)
  return formatBitmap(bits)
}

/** An attribute holding a set that must not be empty, or undefined without the attribute. */
export function bitmapAttribute(node: XmlElement | undefined, name: string): string | undefined {
  const text = node?.attributes[name]
  return text === undefined ? undefined : requireBits(text, name)
}

/** A child element whose text is a set that must not be empty. */
export function bitmapChild(node: XmlElement, name: string, textOf: (node: XmlElement) => string): string | undefined {
  const found = firstChild(node, name)
  const text = found && textOf(found)
  return text ? requireBits(text, name) : undefined
}
