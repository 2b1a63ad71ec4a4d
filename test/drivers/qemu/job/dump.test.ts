// The dump of a crashed guest's memory as an async job: its events, its progress, what ends it, who follows it.
import { existsSync, readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { readStatus } from '../../../../src/drivers/qemu/domain/status.ts'
import { catchUp } from '../../../../src/drivers/qemu/process/catch-up.ts'
import { dumpMemory } from '../../../../src/drivers/qemu/save/crash-dump.ts'
import { type Answers, bareDomain, failureOf } from '../../../helper/bare-domain.ts'
import { promised } from '../../../helper/promised.ts'

const settled = () => new Promise(resolve => setImmediate(resolve))
const COMPLETED = { status: 'completed', completed: 100, total: 100 }

async function guest(t: Test, answers: Answers = {}) {
  const asked = promised<Record<string, unknown>>()
  const { domain, tell, errors, call } = await bareDomain(t.testdir({}), {
    answers: {
      'dump-guest-memory': args => {
        asked.resolve(args)
        return {}
      },
      'query-dump': () => ({ status: 'active', completed: 40, total: 100 }),
      'query-status': () => ({ status: 'paused' }),
      ...answers
    }
  })
  const files = () => (existsSync(domain.root.dumpDir) ? readdirSync(domain.root.dumpDir).length : 0)
  return { domain, tell, errors, asked: asked.promise, files, call }
}

t.test('it is told of, cannot be given up, and ends with its event', async t => {
  const { domain, tell, asked, files, call } = await guest(t)
  const dumped = dumpMemory(domain)
  t.match(await asked, { paging: false, detach: true, protocol: 'fd:dump' })
  await settled()
  t.match((await readStatus(domain.root.status))?.job, { kind: 'dump', api: 'dump', flags: 16 })
  t.match(await call('virDomainGetJobInfo'), { type: 2, memTotal: 100n, memProcessed: 40n, memRemaining: 60n })
  const { params } = await call('virDomainGetJobStats')
  t.same(Object.keys(params!), ['operation', 'time_elapsed', 'memory_total', 'memory_processed', 'memory_remaining'])
  t.match(params, { operation: { value: 8 } })
  t.match(await failureOf(() => call('virDomainAbortJob')), { message: /cannot abort memory-only dump/ })
  const suspended = failureOf(() => call('virDomainSuspend'))
  await settled()
  t.equal(domain.jobs.holder, 'dump')
  tell('DUMP_COMPLETED', { result: COMPLETED })
  await dumped
  t.equal(files(), 1)
  await suspended.catch(() => undefined)
  t.equal((await readStatus(domain.root.status))?.job, undefined)
})

t.test('each way it can fail leaves no file and no job', async t => {
  const ways: [name: string, answers: Answers, then: (g: Awaited<ReturnType<typeof guest>>) => void, RegExp][] = [
    [
      'QEMU refuses',
      { 'dump-guest-memory': () => Promise.reject(new Error('There is a dump in process')), closefd: () => ({}) },
      () => {},
      /in process/
    ],
    [
      'QEMU fails',
      {},
      ({ tell }) => tell('DUMP_COMPLETED', { result: { ...COMPLETED, status: 'failed' }, error: 'no space' }),
      /memory-only dump failed: no space/
    ],
    [
      'without a reason',
      {},
      ({ tell }) => tell('DUMP_COMPLETED', { result: { ...COMPLETED, status: 'failed' } }),
      /failed for unknown reason/
    ],
    ['the guest goes', {}, ({ domain }) => domain.jobs.guestGone(), /domain is not running/]
  ]
  for (const [name, answers, then, message] of ways) {
    const made = await guest(t, answers)
    const error = failureOf(() => dumpMemory(made.domain))
    await settled()
    then(made)
    t.match(await error, { message }, name)
    t.equal(made.files(), 0, name)
    t.equal(made.domain.jobs.async, undefined, name)
  }
})

t.test('what is to follow follows, however it went', async t => {
  const { domain, tell, asked, errors } = await guest(t)
  let holder: string | undefined
  const done = dumpMemory(domain, async () => {
    holder = domain.jobs.active?.api
  })
  await asked
  await settled()
  tell('DUMP_COMPLETED', { result: { ...COMPLETED, status: 'failed' }, error: 'no space' })
  await done
  t.equal(holder, 'dump', 'within the job')
  t.match(errors[0]?.message, /no space/)
})

t.test('a query that fails is told', async t => {
  for (const [status, number] of [
    ['none', 0],
    ['failed', 3]
  ] as const) {
    const { domain, tell, asked, call } = await guest(t, { 'query-dump': () => ({ status, completed: 0, total: 0 }) })
    const dumped = dumpMemory(domain)
    await asked
    t.match(await failureOf(() => call('virDomainGetJobInfo')), { message: new RegExp(`status=${number}`) })
    tell('DUMP_COMPLETED', { result: COMPLETED })
    await dumped
  }
})

t.test('a process that takes the guest over follows the dump', async t => {
  const saved = { kind: 'dump', api: 'dump', flags: 16, sinceMs: Date.now() - 5000 } as const
  const { domain, tell, call, files } = await guest(t)
  domain.jobs.restore(saved)
  await catchUp(domain)
  const info = await call('virDomainGetJobInfo')
  t.match(info, { type: 2, memProcessed: 40n })
  t.ok(BigInt(info.timeElapsed!) >= 5000n)
  const followed = dumpMemory(domain)
  tell('DUMP_COMPLETED', { result: COMPLETED })
  await followed
  t.equal(files(), 0, 'it is not made again')
  t.equal(domain.jobs.async, undefined)
})

t.test('one that was over before the guest was taken over', async t => {
  for (const status of ['completed', 'failed', 'none']) {
    const { domain } = await guest(t, { 'query-dump': () => ({ ...COMPLETED, status }) })
    const job = domain.jobs.restore({ kind: 'dump', api: 'dump', flags: 16, sinceMs: 1 })
    await catchUp(domain)
    await job.ended.catch(() => undefined)
    t.equal(domain.jobs.async, undefined, status)
  }
})

t.test('an event that came while the monitor was not connected', async t => {
  let status = 'active'
  const { domain, asked } = await guest(t, { 'query-dump': () => ({ ...COMPLETED, status }) })
  const dumped = dumpMemory(domain)
  await asked
  await settled()
  await catchUp(domain)
  t.equal(domain.jobs.async?.kind, 'dump')
  status = 'completed'
  await catchUp(domain)
  await dumped
  t.equal(domain.jobs.async, undefined)
})
