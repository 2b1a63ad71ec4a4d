// Guests that have changed are asked once before anybody is told of them, and are known then.
import t from 'tap'
import { Changes } from '../../../src/server/aggregator/changes.ts'

/** Shims that answer when they are told to. */
function shims() {
  const asked: string[] = []
  const answers: (() => void)[] = []
  const changes = new Changes(uuid => {
    asked.push(uuid)
    return new Promise<void>(resolve => answers.push(resolve))
  })
  return { asked, answer: () => answers.splice(0).forEach(one => void one()), changes }
}

/** Tells whether a promise has settled by now. */
const isSettled = (promise: Promise<unknown>) =>
  Promise.race([promise.then(() => true), new Promise(resolve => setImmediate(resolve, false))])

t.test('a guest is asked once after a change, whoever waits for it', async t => {
  const { asked, answer, changes } = shims()
  t.ok(await isSettled(changes.settled()), 'nothing to wait for')
  changes.begin('a')()
  changes.heard('b')
  t.ok(changes.has('a') && changes.has('b'))
  const waiting = [changes.settled(), changes.settled()]
  t.same(asked, ['a', 'b'])
  t.notOk(await isSettled(Promise.race(waiting)))
  answer()
  await Promise.all(waiting)
  t.notOk(changes.has('a') || changes.has('b'))
  await changes.settled()
  t.same(asked, ['a', 'b'], 'known is known')
})

t.test('an answer from before the end of a call does not do for who asks behind it', async t => {
  const { asked, answer, changes } = shims()
  const end = changes.begin('a')
  const early = changes.settled()
  end()
  const late = changes.settled()
  t.same(asked, ['a', 'a'])
  answer()
  await Promise.all([early, late])
  t.notOk(changes.has('a'))
})

t.test('a long call costs one question, not one for everybody who asks meanwhile', async t => {
  const { asked, answer, changes } = shims()
  const end = changes.begin('a')
  for (let n = 0; n < 3; n++) {
    const settled = changes.settled()
    answer()
    await settled
  }
  t.same(asked, ['a'])
  t.ok(changes.has('a'), 'its end is still to come')
  end()
  const settled = changes.settled()
  answer()
  await settled
  t.same(asked, ['a', 'a'])
  t.notOk(changes.has('a'))
})

t.test('of calls at the same time the last end counts', async t => {
  const { answer, changes } = shims()
  const ends = [changes.begin('a'), changes.begin('a')]
  ends[0]!()
  const settled = changes.settled()
  answer()
  await settled
  t.ok(changes.has('a'))
  ends[1]!()
  const last = changes.settled()
  answer()
  await last
  t.notOk(changes.has('a'))
})
