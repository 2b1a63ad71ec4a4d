import t from 'tap'
import { formatJson, parseJson } from '../../src/conf/json.ts'

t.test('64-bit integers keep all digits in both directions', async t => {
  const text = '{"a":18446744073709551615,"b":-9223372036854775808,"c":42,"d":1.5}'
  const value = parseJson(text) as Record<string, unknown>
  t.equal(value.a, 18446744073709551615n)
  t.equal(value.b, -9223372036854775808n)
  t.equal(value.c, 42)
  t.equal(formatJson(value), text)
})

t.test('all else is written as JSON.stringify does', async t => {
  const error = { toJSON: () => ({ count: 1n, message: 'é"\n' }) }
  const plain = { list: [1, undefined, null, { a: undefined, b: 'é"\n\u2028' }], empty: {}, none: [], minus: -0.5 }
  for (const value of [plain, [], 'text', null, 5, true]) t.equal(formatJson(value), JSON.stringify(value))
  t.equal(formatJson(undefined), 'null')
  t.equal(formatJson(plain, 1), JSON.stringify(plain, undefined, 1))
  t.equal(formatJson({ ...plain, error }), JSON.stringify({ ...plain, error: { count: 1, message: 'é"\n' } }))
})

t.test('broken JSON throws', async t => {
  t.throws(() => parseJson('{'))
  t.throws(() => parseJson('{"a":11111111111111111111'))
})
