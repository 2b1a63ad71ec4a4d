// Value types of API arguments and results: JSON form, JSON Schema and TypeScript type in one object. Each carries the
// kind it has in libvirt's protocol, so that an XDR codec can be made from it.
import { argumentErrorsFrom, type ErrorDomain, errorsFrom, type VirError } from './error.ts'

const fail = errorsFrom('VIR_FROM_NONE')
const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')

/** A value type: `T` inside, `J` as JSON, where undefined is what may be left out. */
export interface Wire<T, J = T> {
  /** libvirt's remote protocol type */
  readonly kind: 'int' | 'uint' | 'hyper' | 'uhyper' | 'string' | 'opaque' | 'array' | 'struct' | 'params'
  readonly schema: Readonly<Record<string, unknown>>
  readonly optional?: boolean
  readonly of?: Wire<never, unknown> | WireFields
  /** @throws VIR_ERR_INVALID_ARG naming the parameter, and the API it is of where that is all there is to say */
  fromJson(value: unknown, name: string, of?: string): T
  toJson(value: T): J
}

export type WireFields = Record<string, Wire<unknown, unknown>>
export type WireValue<W> = W extends Wire<infer T, unknown> ? T : never
/** A value's JSON form. */
export type JsonValue<W> = W extends Wire<unknown, infer J> ? J : never
type OptionalKeys<F extends WireFields> = { [K in keyof F]: undefined extends WireValue<F[K]> ? K : never }[keyof F]
/** The typed form of a list of arguments or results. */
export type WireValues<F extends WireFields> = { [K in Exclude<keyof F, OptionalKeys<F>>]: WireValue<F[K]> } & {
  [K in OptionalKeys<F>]?: WireValue<F[K]>
}

type OptionalJsonKeys<F extends WireFields> = { [K in keyof F]: undefined extends JsonValue<F[K]> ? K : never }[keyof F]
/** The JSON form of a list of arguments or results. */
export type JsonValues<F extends WireFields> = { [K in Exclude<keyof F, OptionalJsonKeys<F>>]: JsonValue<F[K]> } & {
  [K in OptionalJsonKeys<F>]?: JsonValue<F[K]>
}

/** An integer of 64 bits in JSON: a number as long as that is exact. */
type LongJson = number | bigint

const same = <T>(value: T): T => value

function wrong(name: string, expected: string, value: unknown) {
  // only the kind of a list or object is shown: a hostile one may be nested too deep to be written
  const shown = Array.isArray(value)
    ? 'an array'
    : typeof value === 'object' && value !== null
      ? 'an object'
      : typeof value === 'bigint'
        ? String(value)
        : (JSON.stringify(value) ?? 'nothing')
  return fail('VIR_ERR_INVALID_ARG', `${name} must be ${expected}, not ${shown.slice(0, 80)}`)
}

function number(kind: 'int' | 'uint', min: number, max: number, describe?: string): Wire<number> {
  return {
    kind,
    schema: { type: 'integer', minimum: min, maximum: max, ...(describe && { description: describe }) },
    fromJson(value, name) {
      if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
      throw wrong(name, `an integer from ${min} to ${max}`, value)
    },
    toJson: same
  }
}

function long(kind: 'hyper' | 'uhyper', min: bigint, max: bigint, describe?: string): Wire<bigint, LongJson> {
  return {
    kind,
    schema: {
      type: 'integer',
      format: kind === 'hyper' ? 'int64' : 'uint64',
      ...(describe && { description: describe })
    },
    fromJson(value, name) {
      const integer =
        typeof value === 'bigint' ? value : Number.isSafeInteger(value) ? BigInt(value as number) : undefined
      if (integer !== undefined && integer >= min && integer <= max) return integer
      throw wrong(name, `an integer from ${min} to ${max}`, value)
    },
    toJson: same
  }
}

/** Yes or no, of a result. */
export const bool: Wire<boolean> = {
  kind: 'int',
  schema: { type: 'boolean' },
  fromJson: value => value === true,
  toJson: value => value
}

/** A 32-bit integer; the description gives its unit. */
export const int = (describe?: string) => number('int', -(2 ** 31), 2 ** 31 - 1, describe)
/** A 32-bit integer without sign. */
export const uint = (describe?: string) => number('uint', 0, 2 ** 32 - 1, describe)
/** A 64-bit integer, bigint inside. */
export const hyper = (describe?: string) => long('hyper', -(2n ** 63n), 2n ** 63n - 1n, describe)
/** A 64-bit integer without sign, bigint inside. */
export const uhyper = (describe?: string) => long('uhyper', 0n, 2n ** 64n - 1n, describe)

/** libvirt's REMOTE_STRING_MAX, in bytes. */
const STRING_MAX = 4 * 1024 * 1024

/** A string, at most STRING_MAX bytes of UTF-8. */
export const text = (describe?: string): Wire<string> => ({
  kind: 'string',
  schema: { type: 'string', maxLength: STRING_MAX, ...(describe && { description: describe }) },
  fromJson(value, name) {
    if (typeof value !== 'string') throw wrong(name, 'a string', value)
    if (value.includes('\0')) throw fail('VIR_ERR_INVALID_ARG', `${name} must not contain a NUL character`)
    if (Buffer.byteLength(value) > STRING_MAX)
      throw fail('VIR_ERR_INVALID_ARG', `${name} is longer than ${STRING_MAX} bytes`)
    return value
  },
  toJson: same
})

/** Bytes, in JSON as base64. */
export const bytes = (describe?: string): Wire<Uint8Array, string> => ({
  kind: 'opaque',
  schema: { type: 'string', contentEncoding: 'base64', ...(describe && { description: describe }) },
  fromJson(value, name) {
    // as libvirt's protocol has them
    if (value instanceof Uint8Array) return value
    if (typeof value !== 'string') throw wrong(name, 'base64', value)
    return Buffer.from(value, 'base64')
  },
  toJson: value => Buffer.from(value).toString('base64')
})

/** An argument that may be left out or null. */
export function optional<T, J>(type: Wire<T, J>): Wire<T | undefined, J | undefined> {
  return {
    ...type,
    optional: true,
    fromJson: (value, name, of) => (value === undefined || value === null ? undefined : type.fromJson(value, name, of)),
    toJson: value => (value === undefined ? undefined : type.toJson(value))
  }
}

/** A number that must not be 0 (virCheckNonZeroArgGoto). */
export function nonZero<T extends number | bigint, J>(type: Wire<T, J>): Wire<T, J> {
  return {
    ...type,
    fromJson(value, name, of) {
      const number = type.fromJson(value, name, of)
      if (BigInt(number) === 0n) throw badArgument(`${name}${of === undefined ? '' : ` in ${of}`} must not be zero`)
      return number
    }
  }
}

/** An argument with a value for when it is left out. */
export function defaulted<T, J>(type: Wire<T, J>, value: T): Wire<T, J | undefined> {
  return {
    ...type,
    optional: true,
    schema: { ...type.schema, default: value },
    fromJson: (given, name) => (given === undefined || given === null ? value : type.fromJson(given, name))
  }
}

type Enumeration = Readonly<Record<string, number>>
/** Names of one of some enumerations' constants. */
type NamesOf<E extends Enumeration[]> = Extract<{ [K in keyof E]: keyof E[K] }[number], string>
/** Flag bits, as JSON also an array of constants' names. */
type FlagsWire<E extends Enumeration[]> = Wire<number, number | NamesOf<E>[] | undefined>

/** Flag bits, from an integer or from libvirt's constant names; an unknown bit or name is refused. Absent: 0. */
export function flags<E extends Enumeration[]>(...enums: E): FlagsWire<E> {
  return bitsOf(enums, {})
}

/** The function that refuses flags, where in libvirt it is not the driver's function of the API's name. */
interface Checker {
  function: string
  /** VIR_FROM_QEMU unless given */
  domain?: ErrorDomain
}

/** As flags, refused by another of libvirt's functions. */
export function flagsIn<E extends Enumeration[]>(checker: Checker, ...enums: E): FlagsWire<E> {
  return bitsOf(enums, checker)
}

/** As flags, but unknown bits pass: a newer client may know more of them. */
export function openFlags<E extends Enumeration[]>(...enums: E): FlagsWire<E> {
  return bitsOf(enums, undefined)
}

/** @param checker the function that refuses unknown bits; undefined: none does */
function bitsOf<E extends Enumeration[]>(enums: E, checker: Partial<Checker> | undefined): FlagsWire<E> {
  const bits: Record<string, number> = Object.assign({}, ...enums)
  const names = Object.keys(bits)
  const all = Object.values(bits).reduce((mask, bit) => mask | bit, 0) >>> 0
  return {
    kind: 'uint',
    optional: true,
    schema: {
      anyOf: [
        { type: 'integer', minimum: 0, maximum: checker ? all : 2 ** 32 - 1 },
        // of no names there are, an enumeration would be no schema
        { type: 'array', ...(names.length > 0 ? { items: { enum: names } } : { maxItems: 0 }) }
      ],
      default: 0
    },
    fromJson(value, name, of = name) {
      if (value === undefined || value === null) return 0
      let mask: number
      if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32) mask = value
      else if (Array.isArray(value)) {
        mask = 0
        for (const bit of value) {
          if (typeof bit !== 'string' || !Object.hasOwn(bits, bit))
            throw wrong(name, `one of ${Object.keys(bits).join(', ') || 'no flag'}`, bit)
          mask = (mask | bits[bit]!) >>> 0
        }
      } else throw wrong(name, 'an integer or an array of flag names', value)
      const unknown = (mask & ~all) >>> 0
      if (checker && unknown !== 0) {
        // the driver's function has the API's name, with its own in front
        const { function: name = of.replace(/^vir/, 'qemu'), domain = 'VIR_FROM_QEMU' } = checker
        throw argumentErrorsFrom(domain)(`unsupported flags (0x${unknown.toString(16)}) in function ${name}`)
      }
      return mask
    },
    toJson: same
  }
}

/**
 * One of an enumeration: its number or libvirt's constant name.
 * @param unknown the error for another number
 */
export function oneOf<E extends Enumeration>(
  values: E,
  unknown?: (value: number) => VirError
): Wire<number, number | Extract<keyof E, string>> {
  return {
    kind: 'int',
    schema: { anyOf: [{ enum: Object.values(values) }, { enum: Object.keys(values) }] },
    fromJson(value, name) {
      if (typeof value === 'string' && Object.hasOwn(values, value)) return values[value]!
      if (typeof value === 'number' && Object.values(values).includes(value)) return value
      if (typeof value === 'number' && unknown) throw unknown(value)
      throw wrong(name, `one of ${Object.keys(values).join(', ')}`, value)
    },
    toJson: same
  }
}

/** A list of at most `max` values of one type. */
export function array<T, J>(of: Wire<T, J>, max: number): Wire<T[], J[]> {
  return {
    kind: 'array',
    of: of as Wire<never, unknown>,
    schema: { type: 'array', items: of.schema, maxItems: max },
    fromJson(value, name) {
      if (!Array.isArray(value)) throw wrong(name, 'an array', value)
      if (value.length > max) throw fail('VIR_ERR_INVALID_ARG', `${name} has more than ${max} entries`)
      return value.map((entry, i) => of.fromJson(entry, `${name}[${i}]`))
    },
    toJson: value => value.map(entry => of.toJson(entry))
  }
}

/** An object of such fields, on the wire in their order. */
export function struct<F extends WireFields>(fields: F): Wire<WireValues<F>, JsonValues<F>> {
  return {
    kind: 'struct',
    of: fields,
    schema: objectSchema(fields),
    fromJson: (value, name) => fieldsFromJson(value, fields, name),
    toJson: value => fieldsToJson(value, fields)
  }
}

/** The JSON Schema of a list of arguments or results. */
export function objectSchema(fields: WireFields): Record<string, unknown> {
  const names = Object.keys(fields)
  return {
    type: 'object',
    properties: Object.fromEntries(names.map(name => [name, fields[name]!.schema])),
    required: names.filter(name => !fields[name]!.optional),
    additionalProperties: false
  }
}

/** Checks and converts a JSON object. @throws VIR_ERR_INVALID_ARG naming the field */
export function fieldsFromJson<F extends WireFields>(value: unknown, fields: F, name: string): WireValues<F> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(name, 'an object', value)
  const given = value as Record<string, unknown>
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(fields, key)) throw fail('VIR_ERR_INVALID_ARG', `${name} has no parameter '${key}'`)
  }
  const out: Record<string, unknown> = {}
  // unknown flags are refused first: they might change the meaning of other fields
  const inOrder = Object.keys(fields).sort((a, b) => Number(b === 'flags') - Number(a === 'flags'))
  for (const key of inOrder) {
    const field = fields[key]!
    if (!field.optional && !Object.hasOwn(given, key))
      throw fail('VIR_ERR_INVALID_ARG', `${name} lacks parameter '${key}'`)
    out[key] = field.fromJson(Object.hasOwn(given, key) ? given[key] : undefined, key, name)
  }
  return out as WireValues<F>
}

/** The JSON form of arguments or results; absent ones are left out. */
export function fieldsToJson<F extends WireFields>(value: WireValues<F>, fields: F): JsonValues<F> {
  const values = value as Record<string, unknown>
  const out: Record<string, unknown> = {}
  for (const key of Object.keys(fields)) if (values[key] !== undefined) out[key] = fields[key]!.toJson(values[key])
  return out as JsonValues<F>
}

/** A typed parameter (virTypedParameter): the type counts for RPC, JSON shows the value alone. */
export type TypedValue =
  | { type: 'int' | 'uint' | 'double'; value: number }
  | { type: 'llong' | 'ullong'; value: bigint }
  | { type: 'boolean'; value: boolean }
  | { type: 'string'; value: string }
export type TypedParams = Record<string, TypedValue>

/** A typed parameter's value in JSON. */
export type TypedJson = LongJson | boolean | string

export const typed = {
  int: (value: number): TypedValue => ({ type: 'int', value }),
  uint: (value: number): TypedValue => ({ type: 'uint', value }),
  ullong: (value: bigint | number): TypedValue => ({ type: 'ullong', value: BigInt(value) }),
  llong: (value: bigint | number): TypedValue => ({ type: 'llong', value: BigInt(value) }),
  double: (value: number): TypedValue => ({ type: 'double', value }),
  boolean: (value: boolean): TypedValue => ({ type: 'boolean', value }),
  string: (value: string): TypedValue => ({ type: 'string', value })
}

/** Typed parameters as a result. */
export const typedParams: Wire<TypedParams, Record<string, TypedJson>> = {
  kind: 'params',
  schema: { type: 'object', additionalProperties: { type: ['integer', 'number', 'boolean', 'string'] } },
  fromJson(_value, name) {
    throw fail('VIR_ERR_INVALID_ARG', `${name} is not an input`)
  },
  toJson: value => Object.fromEntries(Object.entries(value).map(([name, { value }]) => [name, value]))
}

/** Types of typed parameters given as arguments; beside them `strings`, a parameter that may come several times. */
const INPUTS = { int: int(), uint: uint(), llong: hyper(), ullong: uhyper(), boolean: truth(), string: text() }
type InputType = keyof typeof INPUTS | 'double' | 'strings'
type InputValue<T extends InputType> = T extends keyof typeof INPUTS
  ? WireValue<(typeof INPUTS)[T]>
  : T extends 'double'
    ? number
    : string[]
type InputJson<T extends InputType> = InputValue<T> extends bigint ? LongJson : InputValue<T>

function truth(): Wire<boolean> {
  return {
    kind: 'int',
    schema: { type: 'boolean' },
    fromJson(value, name) {
      if (typeof value !== 'boolean') throw wrong(name, 'true or false', value)
      return value
    },
    toJson: same
  }
}

const double: Wire<number> = {
  kind: 'hyper',
  schema: { type: 'number' },
  fromJson(value, name) {
    if (typeof value !== 'number' || !Number.isFinite(value)) throw wrong(name, 'a number', value)
    return value
  },
  toJson: same
}

/** Longest list of a parameter that may come several times; libvirt limits all parameters of a call to a few dozen. */
const STRINGS_MAX = 1024

const inputOf = (type: InputType): Wire<unknown> =>
  (type === 'double' ? double : type === 'strings' ? array(text(), STRINGS_MAX) : INPUTS[type]) as Wire<unknown>

/** The parameters of a call as they came, in their order: names may repeat, types may be wrong. */
const RECEIVED = Symbol('received')

/** Typed parameters from libvirt's protocol: by name, the last of a name; typedInput() looks at all of them. */
export function receivedParams(list: readonly (readonly [name: string, value: TypedValue])[]): TypedParams {
  const params: TypedParams = Object.create(null)
  for (const [name, value] of list) params[name] = value
  return Object.defineProperty(params, RECEIVED, { value: list })
}

/**
 * Typed parameters as an argument, each with the type it must have. JSON: an object, name to value. From the protocol
 * each brings its own type, checked as virTypedParamsValidate does.
 * @throws VIR_ERR_ARGUMENT_UNSUPPORTED for a parameter that is not declared, VIR_ERR_INVALID_ARG for a wrong or
 * repeated one and for none at all
 */
export function typedInput<const D extends Readonly<Record<string, InputType>>>(
  declared: D,
  { mayBeEmpty = false } = {}
): Wire<{ [K in keyof D]?: InputValue<D[K]> }, { [K in keyof D]?: InputJson<D[K]> }> {
  const unsupported = (name: string) => fail('VIR_ERR_ARGUMENT_UNSUPPORTED', `parameter '${name}' not supported`)
  const fromReceived = (list: readonly (readonly [string, TypedValue])[]): Record<string, unknown> => {
    const out: Record<string, unknown> = {}
    for (const [name, { type, value }] of [...list].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
      const expected = Object.hasOwn(declared, name) ? declared[name]! : undefined
      if (expected === undefined) throw unsupported(name)
      const several = expected === 'strings'
      if (name in out && !several) throw fail('VIR_ERR_INVALID_ARG', `parameter '${name}' occurs multiple times`)
      const wanted = several ? 'string' : expected
      if (type !== wanted) {
        throw fail('VIR_ERR_INVALID_ARG', `invalid type '${type}' for parameter '${name}', expected '${wanted}'`)
      }
      if (several) out[name] = [...((out[name] as string[] | undefined) ?? []), value]
      else out[name] = value
    }
    // as they came: events tell them so
    return Object.fromEntries(list.map(([name]) => [name, out[name]]))
  }
  const fromObject = (given: Record<string, unknown>): Record<string, unknown> => {
    const out: Record<string, unknown> = {}
    for (const [name, value] of Object.entries(given)) {
      if (!Object.hasOwn(declared, name)) throw unsupported(name)
      out[name] = inputOf(declared[name]!).fromJson(value, name)
    }
    return out
  }
  return {
    kind: 'params',
    ...(mayBeEmpty && { optional: true }),
    schema: {
      type: 'object',
      properties: Object.fromEntries(Object.entries(declared).map(([name, type]) => [name, inputOf(type).schema])),
      additionalProperties: false,
      ...(!mayBeEmpty && { minProperties: 1 })
    },
    fromJson(value, name, of) {
      const given = value ?? {}
      if (typeof given !== 'object' || Array.isArray(given)) throw wrong(name, 'an object', given)
      const received = (given as { [RECEIVED]?: (readonly [string, TypedValue])[] })[RECEIVED]
      const out = received ? fromReceived(received) : fromObject(given as Record<string, unknown>)
      if (!mayBeEmpty && Object.keys(out).length === 0) {
        throw badArgument(of ? `${name} in ${of} must not be NULL` : `${name} must not be NULL`)
      }
      return out as { [K in keyof D]?: InputValue<D[K]> }
    },
    toJson: value => value as { [K in keyof D]?: InputJson<D[K]> }
  }
}
