// What is written while files are passed waits, in order.
import { PassThrough } from 'node:stream'
import t from 'tap'
import { OrderedWriter } from '../../src/host/ordered-writer.ts'

t.test('files come right behind what they belong to', async t => {
  const to = new PassThrough({ encoding: 'utf8' })
  const writer = new OrderedWriter(to)
  let passed = () => {}
  const passing = () =>
    new Promise<void>(done => {
      passed = () => {
        to.write('FILE ')
        done()
      }
    })
  writer.write('a ')
  const first = writer.pass('b ', passing)
  await new Promise(setImmediate)
  writer.write('c ')
  const second = writer.pass('d ', passing)
  t.equal(writer.length, to.writableLength + 2)
  passed()
  await first
  await new Promise(setImmediate)
  writer.write('e ')
  passed()
  await second
  writer.write('f ')
  t.equal(to.read(), 'a b FILE c d FILE e f ')
})

t.test('a file that cannot be passed holds nobody up', async t => {
  const to = new PassThrough({ encoding: 'utf8' })
  const writer = new OrderedWriter(to)
  await t.rejects(
    writer.pass('a ', () => Promise.reject(new Error('no'))),
    /no/
  )
  await writer.pass('b ', async () => writer.write('c '))
  writer.write('d')
  t.equal(to.read(), 'a b c d')
  to.destroy()
  writer.write('e')
  t.equal(writer.length, to.writableLength)
})
