// Arbitrary values of the RPC protocol's types, by type name.
import fc from 'fast-check'
import type { TypedParams, TypedValue } from '../../src/conf/wire.ts'
import { fieldsOf } from '../../src/server/rpc/codec.ts'
import { STRUCTURES } from '../../src/server/rpc/remote-protocol.ts'

/** Longest list that is drawn, whatever the protocol would allow. */
const DRAWN_MAX = 5
const text = fc.string({ unit: 'binary', maxLength: 40 })

const plain: Record<string, fc.Arbitrary<unknown>> = {
  int: fc.integer(),
  uint: fc.nat({ max: 2 ** 32 - 1 }),
  hyper: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  uhyper: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  string: text,
  uuid: fc.uuid()
}

const typedValue: fc.Arbitrary<TypedValue> = fc.oneof(
  fc.record({ type: fc.constant('int' as const), value: fc.integer() }),
  fc.record({ type: fc.constant('uint' as const), value: fc.nat({ max: 2 ** 32 - 1 }) }),
  fc.record({ type: fc.constant('llong' as const), value: plain.hyper as fc.Arbitrary<bigint> }),
  fc.record({ type: fc.constant('ullong' as const), value: plain.uhyper as fc.Arbitrary<bigint> }),
  fc.record({ type: fc.constant('double' as const), value: fc.double() }),
  fc.record({ type: fc.constant('boolean' as const), value: fc.boolean() }),
  fc.record({ type: fc.constant('string' as const), value: text })
)
const name = text.filter(key => key !== '__proto__')
const params = fc.dictionary(name, typedValue, { maxKeys: DRAWN_MAX }) as fc.Arbitrary<TypedParams>

/** Values of one type. */
export function arbitraryOf(type: string): fc.Arbitrary<unknown> {
  const known = plain[type]
  if (known) return known
  if (type.endsWith('?')) return fc.option(arbitraryOf(type.slice(0, -1)), { nil: undefined })
  const [, name = '', open, bound = '0'] = /^(\w+)(?:([<[])(\d+)[>\]])?$/.exec(type) ?? []
  const maxLength = Math.min(Number(bound), DRAWN_MAX)
  if (name === 'chars') return fc.string({ unit: 'grapheme-ascii', maxLength: Math.min(Number(bound) - 1, 20) })
  if (name === 'opaque') return fc.uint8Array({ maxLength: 30 }).map(bytes => Buffer.from(bytes))
  if (name === 'param') return params
  if (open) return fc.array(arbitraryOf(name), { maxLength })
  return arbitraryFields(STRUCTURES[name]!)
}

/** Values of every field of a notation, by name. */
export function arbitraryFields(notation: string): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(Object.fromEntries(fieldsOf(notation).map(field => [field.name, arbitraryOf(field.type)])))
}
