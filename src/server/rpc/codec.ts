// From the protocol's type names to readers and writers. Built on first use, one per type name.

import { virTypedParameterType } from '../../conf/enums.ts'
import { errorsFrom } from '../../conf/error.ts'
import { receivedParams, type TypedParams, type TypedValue } from '../../conf/wire.ts'
import { STRUCTURES } from './remote-protocol.ts'
import type { XdrReader, XdrWriter } from './xdr.ts'

const fail = errorsFrom('VIR_FROM_RPC')

const failHere = errorsFrom('VIR_FROM_NONE')

/** Longest name of a typed parameter, in bytes (VIR_TYPED_PARAM_FIELD_LENGTH less its end mark). */
const PARAM_NAME_MAX = 79

/** libvirt's REMOTE_STRING_MAX. */
const STRING_MAX = 4 * 1024 * 1024

/** Values of fields by name; what they are says the notation of the fields (notation.ts has it as types). */
export type Values = Record<string, unknown>

/** Reads and writes values of one type. */
export interface Codec<T = unknown> {
  read(from: XdrReader): T
  write(value: T, to: XdrWriter): void
}

/** One named field of a structure, of arguments or of results. */
export interface WireField {
  name: string
  type: string
  codec: Codec
  /** an array that carries its length, or typed parameters */
  isList: boolean
  isParams: boolean
}

const plain: Record<'int' | 'uint', Codec<number>> &
  Record<'hyper' | 'uhyper', Codec<bigint | number>> &
  Record<'string' | 'uuid', Codec<string>> = {
  int: { read: from => from.int(), write: (value, to) => to.int(Number(value)) },
  uint: { read: from => from.uint(), write: (value, to) => to.uint(Number(value)) },
  hyper: { read: from => from.hyper(), write: (value, to) => to.hyper(value) },
  uhyper: { read: from => from.uhyper(), write: (value, to) => to.uhyper(value) },
  string: { read: from => from.string(STRING_MAX), write: (value, to) => to.string(value, STRING_MAX) },
  uuid: {
    read(from) {
      const hex = from.hex(16)
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
    },
    write: (value, to) => to.fixed(Buffer.from(value.replaceAll('-', ''), 'hex'))
  }
}

const { VIR_TYPED_PARAM_INT, VIR_TYPED_PARAM_UINT, VIR_TYPED_PARAM_LLONG, VIR_TYPED_PARAM_ULLONG } =
  virTypedParameterType
const { VIR_TYPED_PARAM_DOUBLE, VIR_TYPED_PARAM_BOOLEAN, VIR_TYPED_PARAM_STRING } = virTypedParameterType

/** virTypedParameter's variants: number on the wire, then the value. */
const PARAM: { [T in TypedValue['type']]: [number, Codec<(TypedValue & { type: T })['value']>] } = {
  int: [VIR_TYPED_PARAM_INT, plain.int],
  uint: [VIR_TYPED_PARAM_UINT, plain.uint],
  llong: [VIR_TYPED_PARAM_LLONG, plain.hyper as Codec<bigint>],
  ullong: [VIR_TYPED_PARAM_ULLONG, plain.uhyper as Codec<bigint>],
  double: [VIR_TYPED_PARAM_DOUBLE, { read: from => from.double(), write: (value, to) => to.double(value) }],
  boolean: [VIR_TYPED_PARAM_BOOLEAN, { read: from => from.int() !== 0, write: (value, to) => to.int(value ? 1 : 0) }],
  string: [VIR_TYPED_PARAM_STRING, plain.string]
}
const PARAM_BY_NUMBER = new Map(
  Object.entries(PARAM).map(([type, [number, codec]]) => [number, { type: type as TypedValue['type'], codec }])
)

/** Typed parameters; what is read keeps repeated names for who wants to see them, see receivedParams(). */
function params(max: number): Codec<TypedParams | TypedParams[]> {
  return {
    read(from) {
      const list: [string, TypedValue][] = []
      for (let left = from.length(max); left > 0; left--) {
        const name = from.string(STRING_MAX)
        if (Buffer.byteLength(name) > PARAM_NAME_MAX)
          throw failHere('VIR_ERR_INTERNAL_ERROR', `parameter ${name} too big for destination`)
        const number = from.int()
        const variant = PARAM_BY_NUMBER.get(number)
        if (!variant) throw failHere('VIR_ERR_RPC', `unknown parameter type: ${number}`)
        list.push([name, { type: variant.type, value: variant.codec.read(from) } as TypedValue])
      }
      return receivedParams(list)
    },
    write(value, to) {
      const entries = [value].flat().flatMap(one => Object.entries(one))
      if (entries.length > max) throw fail('VIR_ERR_RPC', `too many parameters '${entries.length}' for limit '${max}'`)
      to.uint(entries.length)
      for (const [name, { type, value: inner }] of entries) {
        const [number, codec]: [number, Codec] = PARAM[type]
        to.string(name)
        to.int(number)
        codec.write(inner, to)
      }
    }
  }
}

function opaque(max: number): Codec<Uint8Array> {
  return { read: from => Buffer.from(from.opaque(max)), write: (value, to) => to.opaque(value, max) }
}

/** A C char array: four bytes each. Of variable length it carries its end mark, of fixed length it is filled up. */
function chars(max: number, isFixed: boolean): Codec<string> {
  return {
    read(from) {
      const bytes = Array.from({ length: isFixed ? max : from.length(max) }, () => from.int() & 0xff)
      const end = bytes.indexOf(0)
      return Buffer.from(end < 0 ? bytes : bytes.slice(0, end)).toString('utf8')
    },
    write(value, to) {
      const bytes = Buffer.from(`${value}\0`).subarray(0, max)
      const length = isFixed ? max : bytes.length
      if (!isFixed) to.uint(length)
      for (let i = 0; i < length; i++) to.int(bytes[i] ?? 0)
    }
  }
}

function array(of: Codec, max: number): Codec<unknown[]> {
  return {
    read: from => Array.from({ length: from.length(max) }, () => of.read(from)),
    write(values, to) {
      if (values.length > max) throw fail('VIR_ERR_RPC', `too many entries '${values.length}' for limit '${max}'`)
      to.uint(values.length)
      for (const value of values) of.write(value, to)
    }
  }
}

function pointer(to: Codec): Codec {
  return {
    read: from => (from.uint() === 0 ? undefined : to.read(from)),
    write(value, out) {
      out.uint(value === undefined || value === null ? 0 : 1)
      if (value !== undefined && value !== null) to.write(value, out)
    }
  }
}

/** Fields one after the other. */
function structure(fields: readonly WireField[]): Codec<Values> {
  return {
    read(from) {
      const out: Values = {}
      for (const { name, codec } of fields) out[name] = codec.read(from)
      return out
    },
    write(value, to) {
      for (const { name, codec } of fields) codec.write(value[name], to)
    }
  }
}

const known = new Map<string, Codec>(Object.entries(plain))

/** The codec of a type name. */
export function codecOf(type: string): Codec {
  let codec = known.get(type)
  if (!codec) {
    codec = makeCodec(type)
    known.set(type, codec)
  }
  return codec
}

function makeCodec(type: string): Codec {
  const [, name = '', open, bound = '0', isPointer] = /^(\w+)(?:([<[])(\d+)[>\]])?(\?)?$/.exec(type) ?? []
  if (isPointer) return pointer(codecOf(type.slice(0, -1)))
  const max = Number(bound)
  if (name === 'chars') return chars(max, open === '[')
  if (name === 'opaque') return opaque(max)
  if (name === 'param') return params(max)
  if (open) return array(codecOf(name), max)
  return structure(fieldsOf(STRUCTURES[name]!))
}

/** Of variable length, but for bytes. */
const LIST = /^(?!opaque|chars).*<\d+>$/

/** Fields from their notation: `name:type name:type …`. */
export function fieldsOf(notation: string): WireField[] {
  return notation
    .split(' ')
    .filter(word => word !== '')
    .map(word => {
      const [name = '', type = name] = word.split(':')
      return { name, type, codec: codecOf(type), isList: LIST.test(type), isParams: type.startsWith('param<') }
    })
}

/** Arguments and results of one procedure. */
export interface Layout {
  name: string
  args: WireField[]
  ret: WireField[]
}

/** Stands alone, unlike the end of `type<max>`. */
const ARROW = / > | >$/

/** A procedure from its notation: `NAME args > ret`. */
export function layoutOf(notation: string): Layout {
  const [before = '', ret = ''] = notation.split(ARROW)
  const space = before.indexOf(' ')
  const name = space < 0 ? before.trim() : before.slice(0, space)
  return { name, args: fieldsOf(space < 0 ? '' : before.slice(space + 1)), ret: fieldsOf(ret) }
}

/** Reads fields in their order; with `A` the caller says which they are. */
export function readFields<A = Values>(fields: readonly WireField[], from: XdrReader): A {
  const out: Values = {}
  for (const { name, codec } of fields) out[name] = codec.read(from)
  return out as A
}

/** Writes fields in their order. @throws VIR_ERR_RPC, VIR_ERR_INTERNAL_ERROR for lists beyond their limit */
export function writeFields(fields: readonly WireField[], values: Readonly<Values>, to: XdrWriter): void {
  for (const { name, codec } of fields) codec.write(values[name], to)
}
