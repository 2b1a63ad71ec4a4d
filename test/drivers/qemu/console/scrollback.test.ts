// The scrollback of a console: the last bytes, in whatever pieces they came.
import fc from 'fast-check'
import t from 'tap'
import { SCROLLBACK_BYTES, Scrollback } from '../../../../src/drivers/qemu/console/scrollback.ts'

t.test('the last bytes are kept, oldest first', async t => {
  const sizes = fc.array(fc.oneof(fc.nat(20), fc.nat(3 * SCROLLBACK_BYTES)), { maxLength: 12 })
  fc.assert(
    fc.property(sizes, lengths => {
      const kept = new Scrollback()
      let all = Buffer.alloc(0)
      for (const [i, length] of lengths.entries()) {
        const chunk = Buffer.alloc(length, i + 1)
        chunk.forEach((_, at) => {
          chunk[at] = (at * 7 + i) % 251
        })
        kept.add(chunk)
        all = Buffer.concat([all, chunk]).subarray(-SCROLLBACK_BYTES)
        if (!kept.bytes.equals(all)) return false
      }
      return true
    }),
    { numRuns: 60 }
  )
  t.pass('sixty sequences')
})

t.test('nothing is kept of nothing, and what was given out does not change', async t => {
  const kept = new Scrollback()
  t.equal(kept.bytes.length, 0)
  kept.add(Buffer.from('abc'))
  const { bytes } = kept
  kept.add(Buffer.alloc(SCROLLBACK_BYTES, 'x'))
  t.equal(bytes.toString(), 'abc')
})
