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

t.test('broken JSON throws', async t => {
  t.throws(() => parseJson('{'))
  t.throws(() => parseJson('{"a":11111111111111111111'))
})
