// Sets of CPUs: any way to write one gives the same bits, and these one canonical text.
import fc from 'fast-check'
import t from 'tap'
import { allBits, bitsOf, CPUMASK_LENGTH, countBits, formatBitmap, parseBitmap } from '../../src/conf/bitmap.ts'

fc.configureGlobal({ seed: 20_230_101 })

const number = fc.oneof(fc.nat(9), fc.nat(CPUMASK_LENGTH - 1))
const item = fc.oneof(
  number.map(n => ({ text: `${n}`, apply: (set: Set<number>) => void set.add(n) })),
  number.map(n => ({ text: `^${n}`, apply: (set: Set<number>) => void set.delete(n) })),
  fc.tuple(number, fc.nat(20)).map(([first, more]) => {
    const last = Math.min(first + more, CPUMASK_LENGTH - 1)
    return {
      text: `${first}-${last}`,
      apply(set: Set<number>) {
        for (let n = first; n <= last; n++) set.add(n)
      }
    }
  })
)

t.test('items apply in their order', async t => {
  fc.assert(
    fc.property(fc.array(item, { minLength: 1, maxLength: 12 }), items => {
      const set = new Set<number>()
      for (const { apply } of items) apply(set)
      const bits = parseBitmap(items.map(({ text }) => text).join(','))
      const wanted = [...set].sort((a, b) => a - b)
      return JSON.stringify(bitsOf(bits)) === JSON.stringify(wanted) && countBits(bits) === wanted.length
    })
  )
  t.pass('for every list')
})

t.test('the canonical text reads as the same set, and is written by that again', async t => {
  fc.assert(
    fc.property(fc.uniqueArray(number, { minLength: 1 }), numbers => {
      const bits = numbers.reduce((mask, n) => mask | (1n << BigInt(n)), 0n)
      const text = formatBitmap(bits)
      return (
        parseBitmap(text) === bits &&
        formatBitmap(parseBitmap(text)) === text &&
        /^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)
      )
    })
  )
  t.pass('for every set')
})

t.test('sets have a length', async t => {
  t.equal(parseBitmap('0-7', 8), allBits(8))
  for (const text of ['8', '0-8', '^8']) t.throws(() => parseBitmap(text, 8), { code: 'VIR_ERR_INVALID_ARG' }, text)
  t.equal(allBits(0), 0n)
})
