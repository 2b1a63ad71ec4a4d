// Values of calls: what fits is kept with all its digits, everything else is refused by name, and nothing else happens.
import fc from 'fast-check'
import t from 'tap'
import { VirError } from '../../src/conf/error.ts'
import { formatJson, parseJson } from '../../src/conf/json.ts'
import {
  array,
  defaulted,
  fieldsFromJson,
  fieldsToJson,
  flags,
  flagsIn,
  hyper,
  int,
  oneOf,
  openFlags,
  optional,
  struct,
  text,
  uhyper,
  uint,
  type Wire
} from '../../src/conf/wire.ts'
import { errorOf } from '../helper/definition.ts'

fc.configureGlobal({ seed: 20_230_101 })

const BITS = { VIR_A: 1, VIR_B: 2, VIR_HIGH: 2 ** 31 }
const fields = {
  count: int(),
  size: uint(),
  offset: hyper(),
  bytes: uhyper(),
  name: text(),
  maybe: optional(text()),
  level: defaulted(int(), 7),
  kind: oneOf({ VIR_ONE: 1, VIR_TWO: 2 }),
  list: array(struct({ x: int() }), 3),
  flags: flags(BITS)
}

const value = fc.record({
  count: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  size: fc.nat(2 ** 31 - 1).map(n => n * 2 + 1),
  offset: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  bytes: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  name: fc.string({ unit: 'grapheme' }).map(text => text.replaceAll('\0', '')),
  level: fc.integer({ min: -5, max: 5 }),
  kind: fc.constantFrom(1, 2),
  list: fc.array(fc.record({ x: fc.nat() }), { maxLength: 3 }),
  flags: fc.constantFrom(0, 1, 3, 2 ** 31)
})

t.test('values survive JSON', async t => {
  fc.assert(
    fc.property(value, value => {
      const back = fieldsFromJson(parseJson(formatJson(fieldsToJson(value as never, fields))), fields, 'virApi')
      return formatJson(back) === formatJson({ ...back, ...value })
    })
  )
  t.pass('with all their digits')
})

t.test('any JSON is taken or refused in libvirt’s way', async t => {
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...Object.keys(fields), '__proto__', 'x'), fc.jsonValue()), given => {
      try {
        fieldsFromJson(given, fields, 'virApi')
        return true
      } catch (error) {
        return error instanceof VirError && error.code === 'VIR_ERR_INVALID_ARG'
      }
    })
  )
  t.pass('never another error')
})

t.test('what each refuses', async t => {
  const cases: [string, Wire<unknown>, unknown][] = [
    ['n must be an integer from -2147483648 to 2147483647, not 2147483648', int(), 2 ** 31],
    ['n must be an integer from -2147483648 to 2147483647, not 1.5', int(), 1.5],
    ['n must be an integer from 0 to 4294967295, not -1', uint(), -1],
    ['n must be an integer from 0 to 18446744073709551615, not 18446744073709551616', uhyper(), 2n ** 64n],
    ['n must be an integer from -9223372036854775808 to 9223372036854775807, not "1"', hyper(), '1'],
    ['n must be a string, not an object', text(), {}],
    ['n must be a string, not nothing', text(), undefined],
    ['n must not contain a NUL character', text(), 'a\0b'],
    ['n is longer than 4194304 bytes', text(), 'é'.repeat(2 ** 21 + 1)],
    ['n must be an array, not 1', array(int(), 1), 1],
    ['n has more than 1 entries', array(int(), 1), [1, 2]],
    ['n[1] must be an integer from -2147483648 to 2147483647, not null', array(int(), 2), [1, null]],
    ['n must be an object, not an array', struct({ x: int() }), []],
    ["n lacks parameter 'x'", struct({ x: int() }), {}],
    ["n has no parameter 'y'", struct({ x: int() }), { x: 1, y: 1 }],
    ['n must be one of VIR_ONE, not 2', oneOf({ VIR_ONE: 1 }), 2],
    ['n must be one of VIR_ONE, not "toString"', oneOf({ VIR_ONE: 1 }), 'toString'],
    ['n must be one of VIR_A, VIR_B, VIR_HIGH, not "VIR_C"', flags(BITS), ['VIR_C']],
    ['n must be an integer or an array of flag names, not "VIR_A"', flags(BITS), 'VIR_A']
  ]
  for (const [message, wire, given] of cases) {
    t.equal(await errorOf(() => wire.fromJson(given, 'n')), `VIR_ERR_INVALID_ARG: invalid argument: ${message}`)
  }
})

t.test('flags: by name or number; unknown bits are refused by the function they were for', async t => {
  t.equal(flags(BITS).fromJson(['VIR_A', 'VIR_HIGH'], 'flags'), 2 ** 31 + 1)
  t.equal(flags(BITS).fromJson(null, 'flags'), 0)
  t.equal(openFlags(BITS).fromJson(64, 'flags'), 64)
  const refusal = (wire: Wire<number, unknown>) => errorOf(() => wire.fromJson(5, 'flags', 'virDomainShutdown'))
  t.equal(await refusal(flags(BITS)), 'VIR_ERR_INVALID_ARG: unsupported flags (0x4) in function qemuDomainShutdown')
  t.equal(
    await refusal(flagsIn({ function: 'virDomainDefParse', domain: 'VIR_FROM_DOMAIN' }, BITS)),
    'VIR_ERR_INVALID_ARG: unsupported flags (0x4) in function virDomainDefParse'
  )
})

t.test('flags nobody knows are refused before what they may change the meaning of', async t => {
  const error = await errorOf(() =>
    fieldsFromJson({ first: 'x', flags: 8 }, { first: int(), flags: flags(BITS) }, 'virApi')
  )
  t.match(error, 'unsupported flags (0x8)')
})
