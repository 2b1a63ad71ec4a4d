// Performance counters of a process of the test's own, and of hosts and keepers that have none.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { PerfCounters } from '../../src/host/perf-counters.ts'
import { setHostRoot } from '../../src/host/root.ts'
import { failureOf } from '../helper/stand-in-guest.ts'

const busy = spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' })
t.teardown(() => busy.kill())

const probe = new PerfCounters(process.pid)
const skip = (await failureOf(() => probe.enable('task_clock'))) !== '' && 'this kernel counts nothing'
probe.close()

t.test('what is enabled counts, and nothing else', { skip }, async t => {
  const counters = new PerfCounters(busy.pid!)
  t.teardown(() => counters.close())
  await counters.enable('task_clock')
  await counters.enable('task_clock')
  await counters.enable('page_faults')
  t.same([counters.isEnabled('task_clock'), counters.isEnabled('cpu_clock')], [true, false])
  let value: bigint | undefined
  while (!value) value = await counters.read('task_clock')
  t.ok((await counters.read('task_clock'))! >= value)
  t.equal(await counters.read('cpu_clock'), undefined)
  await counters.disable('task_clock')
  await counters.disable('task_clock')
  t.equal(await counters.read('task_clock'), undefined)
  t.type(await counters.read('page_faults'), 'bigint')
  await counters.disable('page_faults')
  await counters.enable('context_switches')
  t.ok(counters.isEnabled('context_switches'), 'its keeper starts again')
})

t.test('a keeper that is gone', { skip }, async t => {
  const counters = new PerfCounters(busy.pid!)
  t.teardown(() => counters.close())
  const children = () => readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ').map(Number)
  const others = children()
  await counters.enable('task_clock')
  const keeper = children().find(pid => !others.includes(pid))!
  process.kill(keeper, 'SIGKILL')
  while (children().includes(keeper)) await new Promise(setImmediate)
  // its output ends with it, and is heard of a moment later
  await new Promise(setImmediate)
  t.equal(await counters.read('task_clock').catch(() => undefined), undefined, 'what it has counted is gone with it')
  await counters.enable('page_faults')
  t.type(await counters.read('page_faults'), 'bigint', 'the next is asked of another')
})

t.test('a process that is gone', { skip }, async t => {
  const counters = new PerfCounters(2 ** 22 - 1)
  t.equal(
    await failureOf(() => counters.enable('task_clock')),
    'VIR_ERR_SYSTEM_ERROR VIR_FROM_PERF: unable to open host cpu perf event for task_clock: No such process'
  )
  t.notOk(counters.isEnabled('task_clock'))
  counters.close()
})

t.test('a host without resource monitoring', async t => {
  setHostRoot(t.testdir())
  t.teardown(() => setHostRoot(''))
  const counters = new PerfCounters(process.pid)
  t.match(
    await failureOf(() => counters.enable('cmt')),
    /^VIR_ERR_ARGUMENT_UNSUPPORTED VIR_FROM_PERF: .*: unable to enable host cpu perf event for cmt$/
  )
  counters.close()
})
