// JSON with all digits: integers beyond 2^53 become bigint when read, bigint is written as a plain integer.
import { parse as parseExact, stringify } from 'lossless-json'

const LONG_INTEGER = /(?:^|[:[,\s])-?\d{16}/

/** Parses JSON; an integer that a number cannot hold exactly comes back as bigint. @throws SyntaxError */
export function parseJson(text: string): unknown {
  if (!LONG_INTEGER.test(text)) return JSON.parse(text)
  return parseExact(text, undefined, { parseNumber: exactNumber })
}

function exactNumber(text: string): number | bigint {
  const value = Number(text)
  return Number.isSafeInteger(value) || !/^-?\d+$/.test(text) ? value : BigInt(text)
}

/** Writes JSON; bigint as an integer with all its digits. */
export function formatJson(value: unknown, space?: number): string {
  // ten times as fast, but JSON.stringify takes no bigint
  return (holdsBigint(value) ? stringify(value, undefined, space) : JSON.stringify(value, undefined, space)) ?? 'null'
}

/** True if a bigint is anywhere in the value, or may be: an object with a toJSON of its own can turn into anything. */
function holdsBigint(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint'
  return 'toJSON' in value || Object.values(value).some(holdsBigint)
}
