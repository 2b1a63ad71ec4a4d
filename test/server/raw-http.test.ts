// Answers in pieces.
import t from 'tap'
import { AnswerReader, formatAnswer } from '../../src/server/raw-http.ts'

t.test('an answer in pieces of any size is the same, and bytes are not copied again with each', async t => {
  const body = 'é{}'.repeat(1000)
  const bytes = Buffer.from(formatAnswer(body))
  for (const size of [1, 7, 64, 1000, bytes.length]) {
    const reader = new AnswerReader()
    for (let round = 0; round < 2; round++) {
      for (let at = 0; at < bytes.length; at += size) {
        const answer = reader.push(bytes.subarray(at, at + size))
        if (at + size >= bytes.length) t.same(answer, { status: 200, body })
        else if (answer) t.fail('too early')
      }
    }
  }
  const large = Buffer.from(formatAnswer('x'.repeat(4_000_000)))
  const reader = new AnswerReader()
  const began = process.cpuUsage()
  let whole = false
  for (let at = 0; at < large.length; at += 16) whole = reader.push(large.subarray(at, at + 16)) !== undefined
  t.ok(whole)
  t.ok(process.cpuUsage(began).user < 10_000_000, 'some 500 GB would be copied otherwise')
  t.throws(() => new AnswerReader().push(Buffer.concat([bytes, bytes])), /more than one answer/)
  t.throws(() => new AnswerReader().push(Buffer.alloc(17_000, 'x')), /head of an answer/)
})
