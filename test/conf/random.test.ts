import t from 'tap'
import { randomBytes, randomUUID } from '../../src/conf/random.ts'

t.test('randomBytes', async t => {
  t.equal(randomBytes(0).length, 0)
  const [first, second] = [randomBytes(32), randomBytes(32)]
  t.equal(first.length, 32)
  t.notSame(first, second)
})

t.test('randomUUID', async t => {
  const uuids = Array.from({ length: 64 }, randomUUID)
  for (const uuid of uuids) t.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.equal(new Set(uuids).size, uuids.length)
})
