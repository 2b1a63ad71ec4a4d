import t from 'tap'
import { Activity } from '../../src/server/activity.ts'
import { Clock } from '../helper/clock.ts'

t.test('idleness', async t => {
  const clock = new Clock(t)
  const activity = new Activity()
  clock.pass(5000)
  t.ok(activity.idleMs >= 5000)
  const [one, two] = [activity.hold(), activity.hold()]
  clock.pass(5000)
  t.equal(activity.idleMs, 0, 'somebody is at work')
  one()
  one()
  clock.pass(5000)
  t.equal(activity.idleMs, 0, 'one who leaves twice leaves once')
  two()
  clock.pass(3000)
  t.ok(activity.idleMs >= 3000 && activity.idleMs < 5000)
  activity.touch()
  t.ok(activity.idleMs < 3000)
})
