import t from 'tap'
import { allBits, bitsOf, countBits, formatBitmap, parseBitmap, requireBits } from '../../src/conf/bitmap.ts'
import { errorOf } from '../helper/definition.ts'

t.test('sets are written canonically', async t => {
  for (const [text, canonical] of [
    ['0-3,^2,8', '0-1,3,8'],
    ['8,3,1,0', '0-1,3,8'],
    [' 1 , 2 - 4', '1-4'],
    ['^1', ''],
    ['5,^5,5', '5'],
    ['16383', '16383']
  ] as const) {
    t.equal(formatBitmap(parseBitmap(text)), canonical, text)
  }
})

t.test('what is no set is refused', async t => {
  for (const text of ['', ' ', '1-', '3-1', '1,,2', 'x', '^1-2', '-1', '16384', '1;2', '1 2']) {
    t.equal(
      await errorOf(() => parseBitmap(text)),
      `VIR_ERR_INVALID_ARG: invalid argument: Failed to parse bitmap '${text}'`
    )
  }
})

t.test('an empty set is refused where one is needed', async t => {
  t.equal(requireBits('1-2', 'cpuset'), '1-2')
  t.match(await errorOf(() => requireBits('^1', 'cpuset')), "Invalid value of 'cpuset': ^1")
})

t.test('bits, one by one', async t => {
  t.same(bitsOf(parseBitmap('0,5')), [0, 5])
  t.same(bitsOf(0n), [])
  t.equal(countBits(allBits(70)), 70)
})
