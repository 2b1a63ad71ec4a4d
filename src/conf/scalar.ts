// Values of attributes and texts: how each is read and written. Reading gives undefined for what libvirt refuses;
// the caller, who knows the element and attribute, makes the error.

/**
 * One value type of the XML: `expected` completes libvirt's message, as in "Expected integer value"; a function where
 * that depends on what was given.
 */
export interface Scalar<T> {
  parse(text: string): T | undefined
  format(value: T): string
  expected?: string | ((text: string) => string)
  /** JSON Schema of the parsed value */
  schema: object
}

export const string: Scalar<string> = { parse: text => text, format: value => value, schema: { type: 'string' } }

/** A path without doubled and trailing slashes; URIs are left as they are (virFileSanitizePath). */
export const path: Scalar<string> = {
  parse(text) {
    if (/^[^/]*:\/\//.test(text)) return text
    const head = /^\/\/(?!\/)/.test(text) ? '//' : ''
    const rest = text.slice(head.length).replace(/\/+/g, '/')
    return head + rest.replace(/(.)\/$/, '$1')
  },
  format: value => value,
  schema: { type: 'string' }
}

function parseInteger(text: string, base: 0 | 10 | 16): bigint | undefined {
  const match = /^\s*([+-]?)(0[xX][0-9a-fA-F]+|[0-9a-fA-F]+)$/.exec(text)
  if (!match) return undefined
  const digits = match[2]!
  const isHex = /^0x/i.test(digits)
  let value: bigint
  if (base === 16) value = BigInt(isHex ? digits : `0x${digits}`)
  else if (base === 0 && isHex) value = BigInt(digits)
  else if (isHex || /[a-fA-F]/.test(digits)) return undefined
  else if (base === 0 && digits.length > 1 && digits[0] === '0') {
    if (/[89]/.test(digits)) return undefined
    value = BigInt(`0o${digits}`)
  } else value = BigInt(digits)
  return match[1] === '-' ? -value : value
}

const INTEGER = 'Expected integer value'
const UNSIGNED = 'Expected non-negative integer value'

/** Numbers below 2^53 that are the same in decimal and in C notation: what nearly all are. */
const PLAIN = /^(?:0|[1-9][0-9]{0,14})$/

function integer(base: 0 | 10 | 16, min: bigint, max: bigint, format?: (value: number) => string): Scalar<number> {
  return {
    parse(text) {
      const value = base !== 16 && PLAIN.test(text) ? Number(text) : parseInteger(text, base)
      return value === undefined || value < min || value > max ? undefined : Number(value)
    },
    format: format ?? String,
    expected: min < 0n ? INTEGER : UNSIGNED,
    schema: { type: 'integer', minimum: Number(min), maximum: Number(max) }
  }
}

/** A C int, decimal. */
export const int = integer(10, -(2n ** 31n), 2n ** 31n - 1n)
/** A C int that must not be negative (VIR_XML_PROP_NONNEGATIVE), in C notation or decimal only. */
const nonNegative = (base: 0 | 10, format?: (value: number) => string): Scalar<number> => ({
  ...integer(base, 0n, 2n ** 31n - 1n, format),
  expected: text => (/^\s*-/.test(text) && int.parse(text) !== undefined ? 'Expected non-negative value' : INTEGER)
})
/** A non-negative C int, decimal. */
export const nonNegativeInt = nonNegative(10)
/** A non-negative C int in any C notation, written decimal. */
export const nonNegativeIntAnyBase = nonNegative(0)
/** A non-negative C int in any C notation, written as hexadecimal. */
export const nonNegativeHex = nonNegative(0, value => `0x${value.toString(16)}`)
/** A C int in any C notation (0x, leading 0), written decimal. */
export const intAnyBase = integer(0, -(2n ** 31n), 2n ** 31n - 1n)
/** A C unsigned int, decimal. */
export const uint = integer(10, 0n, 2n ** 32n - 1n)
/** A C unsigned int in octal, written with at least four digits: permissions of files. */
export const octal: Scalar<number> = {
  ...uint,
  parse(text) {
    const value = /^\s*\+?[0-7]+$/.test(text) ? Number.parseInt(text.trim().replace('+', ''), 8) : undefined
    return value === undefined || value > 2 ** 32 - 1 ? undefined : value
  },
  format: value => value.toString(8).padStart(4, '0')
}

/** A C unsigned int as libvirt's older readers take it: -1 and the like wrap around (virStrToLong_ui). */
export const uintWrapping: Scalar<number> = {
  ...uint,
  parse: text => uint.parse(text) ?? wrap(/^\s*-\d{1,10}$/.test(text) ? BigInt(text) : undefined)
}
const wrap = (value: bigint | undefined) =>
  value === undefined || value < -(2n ** 32n - 1n) ? undefined : Number(BigInt.asUintN(32, value))
/** A C unsigned int in any C notation (0x, leading 0), written decimal. */
export const uintAnyBase = integer(0, 0n, 2n ** 32n - 1n)
/** A C unsigned int in any C notation (or, base 16, always hexadecimal), written as 0x with at least `digits` digits. */
export const hex = (digits = 1, base: 0 | 16 = 0): Scalar<number> =>
  integer(base, 0n, 2n ** 32n - 1n, value => `0x${value.toString(16).padStart(digits, '0')}`)
/** An unsigned number up to 2^53 - 1, decimal: sizes in KiB and the like. */
export const size = integer(10, 0n, 2n ** 53n - 1n)
/** A positive integer: libvirt's VIR_XML_PROP_NONZERO. Zero has its own message. */
export const positive: Scalar<number> = { ...uint, schema: { type: 'integer', minimum: 1 } }

function bigInteger(base: 0 | 10 | 16, min: bigint, max: bigint, format?: (value: bigint) => string): Scalar<bigint> {
  return {
    parse(text) {
      const value = parseInteger(text, base)
      return value === undefined || value < min || value > max ? undefined : value
    },
    format: format ?? String,
    expected: min < 0n ? 'Expected long long integer value' : UNSIGNED,
    schema: { type: 'integer' }
  }
}

/** A C unsigned long long, decimal, all digits kept. */
export const ulonglong = bigInteger(10, 0n, 2n ** 64n - 1n)
/** As uintWrapping, for a C unsigned long long (virStrToLong_ull). */
export const ulonglongWrapping: Scalar<bigint> = {
  ...ulonglong,
  parse(text) {
    const value = parseInteger(text, 10)
    return value === undefined || value <= -(2n ** 64n) || value >= 2n ** 64n ? undefined : BigInt.asUintN(64, value)
  }
}
/** A C unsigned long long in any C notation, written decimal. */
export const ulonglongAnyBase = bigInteger(0, 0n, 2n ** 64n - 1n)
/** A C long long, decimal. */
export const longlong = bigInteger(10, -(2n ** 63n), 2n ** 63n - 1n)
/** A C long long in any C notation, written decimal. */
export const longlongAnyBase = bigInteger(0, -(2n ** 63n), 2n ** 63n - 1n)
/** A C unsigned long long in any C notation (or, base 16, always hexadecimal), written as hexadecimal. */
export const hexlong = (digits = 1, base: 0 | 16 = 0): Scalar<bigint> =>
  bigInteger(base, 0n, 2n ** 64n - 1n, value => `0x${value.toString(16).padStart(digits, '0')}`)

/** One of libvirt's named values. */
export function enumOf<const T extends string>(...values: readonly T[]): Scalar<T> & { values: readonly T[] } {
  return {
    values,
    parse: text => ((values as readonly string[]).includes(text) ? (text as T) : undefined),
    format: value => value,
    schema: { enum: values }
  }
}

/** virTristateBool: yes or no. */
export const yesNo: Scalar<boolean> = {
  parse: text => (text === 'yes' ? true : text === 'no' ? false : undefined),
  format: value => (value ? 'yes' : 'no'),
  schema: { type: 'boolean' }
}

/** virTristateSwitch: on or off. */
export const onOff: Scalar<boolean> = {
  parse: text => (text === 'on' ? true : text === 'off' ? false : undefined),
  format: value => (value ? 'on' : 'off'),
  schema: { type: 'boolean' }
}

const UUID_PAIRS = /^(?:[- ]*[0-9a-f]{2}){16}[ \t\n\v\f\r]*$/i

/** A UUID in any form virUUIDParse takes: dashes and spaces are free between pairs of digits, space around. */
export const uuid: Scalar<string> = {
  parse(text) {
    const start = text.replace(/^[ \t\n\v\f\r]+/, '')
    if (!UUID_PAIRS.test(start)) return undefined
    const digits = start.replace(/[^0-9a-f]/gi, '').toLowerCase()
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  },
  format: value => value,
  expected: 'Expected UUID',
  schema: { type: 'string', format: 'uuid' }
}

const MAC = /^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}(?![^\0- ])/i

/** A MAC address of six octets, kept in lower case; what follows a space or control character does not count. */
export const mac: Scalar<string> = {
  parse: text =>
    MAC.exec(text)?.[0]
      .split(':')
      .map(octet => octet.toLowerCase().padStart(2, '0'))
      .join(':'),
  format: value => value,
  schema: { type: 'string' }
}

const UNITS = 'kmgtpe'

/** virScaleInteger's factor for a unit suffix ('KiB', 'M', 'GB', 'b' …), undefined for an unknown one. */
export function unitFactor(suffix: string): bigint | undefined {
  const unit = suffix.toLowerCase()
  if (unit === 'b' || unit === 'byte' || unit === 'bytes') return 1n
  const power = BigInt(UNITS.indexOf(unit[0] ?? '?') + 1)
  if (power === 0n) return undefined
  const rest = unit.slice(1)
  if (rest === '' || rest === 'ib') return 1024n ** power
  return rest === 'b' ? 1000n ** power : undefined
}
