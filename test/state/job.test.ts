// Jobs of a guest: what may run beside what, in which order, for how long, and what is kept of an async one.
import t, { type Test } from 'tap'
import type { AsyncJob, AsyncJobKind } from '../../src/state/async-job.ts'
import { type Job, type JobKind, Jobs, type JobsOptions } from '../../src/state/job.ts'
import { promised } from '../helper/promised.ts'

const NORMAL: JobKind[] = ['query', 'destroy', 'suspend', 'modify', 'abort', 'migration-op', 'modify-migration-safe']

/** What libvirt lets run beside each async job: VIR_JOB_DEFAULT_MASK and what qemuDomainObjSetAsyncJobMask adds. */
const BESIDE: Record<AsyncJobKind, JobKind[]> = {
  'migration-out': ['query', 'destroy', 'suspend', 'abort', 'migration-op', 'modify-migration-safe'],
  'migration-in': ['destroy', 'modify-migration-safe'],
  save: ['query', 'destroy', 'abort'],
  dump: ['query', 'destroy', 'abort'],
  snapshot: ['destroy'],
  start: ['destroy'],
  backup: ['query', 'destroy', 'suspend', 'modify', 'abort']
}
const ASYNC = Object.keys(BESIDE) as AsyncJobKind[]

const nameOf = (job: Job) => (typeof job === 'string' ? job : Object.entries(job)[0]!.join(' '))

/** Everything that can happen without waiting has happened. */
const settled = () => new Promise(resolve => setImmediate(resolve))

/** Takes a job and holds it until the returned function is called. */
function take(jobs: Jobs, job: Job, { api = nameOf(job), signal }: { api?: string; signal?: AbortSignal } = {}) {
  const letGo = promised<void>()
  const taken = { began: false, async: undefined as AsyncJob | undefined, end: letGo.resolve, done: Promise.resolve() }
  taken.done = jobs.run(job, { api, signal }, async async => {
    taken.began = true
    taken.async = async
    await letGo.promise
  })
  taken.done.catch(() => undefined)
  return taken
}

/** True if `second` begins while `first` is held; it begins afterwards in any case. */
async function isBeside(t: Test, first: Job, second: Job): Promise<boolean> {
  const jobs = new Jobs()
  const one = take(jobs, first)
  const two = take(jobs, second)
  await settled()
  const { began } = two
  one.end()
  await one.done
  await settled()
  t.ok(two.began, `${nameOf(second)} begins after ${nameOf(first)}`)
  two.end()
  await two.done
  return began
}

t.test('what may run beside an async job', async t => {
  for (const kind of ASYNC) {
    for (const job of NORMAL)
      t.equal(await isBeside(t, { async: kind }, job), BESIDE[kind].includes(job), `${job} beside ${kind}`)
    for (const other of ASYNC) t.notOk(await isBeside(t, { async: kind }, { async: other }), `${other} beside ${kind}`)
    for (const agent of ['query', 'modify'] as const)
      t.ok(await isBeside(t, { async: kind }, { agent }), `agent's ${agent} beside ${kind}`)
  }
})

t.test('what may run beside a normal job, and beside the agent', async t => {
  for (const first of NORMAL) {
    for (const second of NORMAL)
      t.equal(await isBeside(t, first, second), second === 'destroy', `${second} beside ${first}`)
    for (const kind of ASYNC) t.notOk(await isBeside(t, first, { async: kind }), `${kind} beside ${first}`)
    t.ok(await isBeside(t, first, { agent: 'modify' }), `agent beside ${first}`)
    t.ok(await isBeside(t, { agent: 'modify' }, first), `${first} beside agent`)
  }
  t.notOk(await isBeside(t, { agent: 'query' }, { agent: 'query' }))
  t.notOk(await isBeside(t, { agent: 'modify' }, { agent: 'query' }))
})

t.test('an async job lets others in while it runs', async t => {
  const jobs = new Jobs()
  const snapshot = take(jobs, { async: 'snapshot' })
  const query = take(jobs, 'query')
  const suspend = take(jobs, 'suspend')
  await settled()
  t.notOk(query.began)
  snapshot.async!.allow()
  await settled()
  t.ok(query.began, "by libvirt's default mask")
  query.end()
  await query.done
  t.notOk(suspend.began)
  snapshot.async!.allow(['suspend'])
  await settled()
  t.ok(suspend.began)
})

t.test('of those that wait the first that may run does', async t => {
  const jobs = new Jobs()
  const order: string[] = []
  const waits = (job: Job, api: string) => jobs.run(job, { api }, () => void order.push(api))
  const save = take(jobs, { async: 'save' })
  const query = take(jobs, 'query')
  const all = [waits('modify', 'm1'), waits('query', 'q1'), waits('modify', 'm2'), waits('abort', 'a1')]
  await settled()
  t.same(order, [])
  query.end()
  await settled()
  t.same(order, ['q1', 'a1'], 'what the async job lets in')
  save.end()
  await Promise.all(all)
  t.same(order, ['q1', 'a1', 'm1', 'm2'])
})

t.test('nobody comes between the end of one and the begin of the next', async t => {
  const jobs = new Jobs()
  let inside = 0
  const calls = Array.from({ length: 50 }, (_, n) =>
    jobs.run('modify', { api: `${n}` }, async () => {
      t.equal(++inside, 1)
      if (n % 3 === 0) await settled()
      inside--
      if (n % 7 === 0) throw new Error('failed')
    })
  )
  const results = await Promise.allSettled(calls)
  t.equal(results.filter(({ status }) => status === 'rejected').length, 8)
  t.equal(jobs.holder, undefined)
})

t.test('the steps of an async job keep out what its mask lets in', async t => {
  const jobs = new Jobs()
  const dump = take(jobs, { async: 'dump' })
  await settled()
  const step = promised<void>()
  const nested = dump.async!.nested(() => step.promise)
  const query = take(jobs, 'query')
  await settled()
  t.notOk(query.began)
  t.match(jobs.active, { api: 'async dump' }, 'under the name of its owner')
  step.resolve()
  await nested
  await settled()
  t.ok(query.began)
  const second = take(jobs, 'query')
  const again = dump.async!.nested(() => 'done')
  query.end()
  second.end()
  t.equal(await again, 'done')
  await t.rejects(
    dump.async!.nested(() => Promise.reject(new Error('no'))),
    { message: 'no' }
  )
  t.equal(jobs.active, undefined)
})

t.test('who waited too long is told who holds what it wanted', async t => {
  const late = 'Timed out during operation: cannot acquire state change lock'
  const cases: [held: Job[], wanted: Job, message: string][] = [
    [['query'], 'modify', `${late} (held by monitor=query)`],
    [['modify'], { async: 'save' }, `${late} (held by monitor=modify)`],
    [[{ async: 'save' }], 'modify', `${late} (held by monitor=async save)`],
    [[{ async: 'save' }, 'query'], 'abort', `${late} (held by monitor=query)`],
    [[{ async: 'save' }, 'query'], 'modify', `${late} (held by monitor=async save)`],
    [[{ async: 'save' }], { async: 'dump' }, `${late} (held by monitor=async save)`],
    [['modify', { agent: 'query' }], { agent: 'modify' }, `${late} (held by agent=agent query)`]
  ]
  for (const [held, wanted, message] of cases) {
    const jobs = new Jobs({ waitMs: 1 })
    for (const job of held) take(jobs, job)
    await t.rejects(
      jobs.run(wanted, { api: 'me' }, () => t.fail('it must not begin')),
      { code: 'VIR_ERR_OPERATION_TIMEOUT', domain: 'VIR_FROM_NONE', message },
      `${nameOf(wanted)} while ${held.map(nameOf)}`
    )
  }
})

t.test('who waited too long is not begun later', async t => {
  const jobs = new Jobs({ waitMs: 1 })
  const first = take(jobs, 'modify')
  const second = take(jobs, 'modify')
  await t.rejects(second.done, { code: 'VIR_ERR_OPERATION_TIMEOUT' })
  first.end()
  await first.done
  await settled()
  t.notOk(second.began)
  t.equal(jobs.active, undefined)
})

t.test('who is cancelled while it waits', async t => {
  const jobs = new Jobs()
  const first = take(jobs, 'modify')
  const caller = new AbortController()
  const second = take(jobs, 'modify', { signal: caller.signal })
  const third = take(jobs, 'modify')
  caller.abort()
  await t.rejects(second.done, { code: 'VIR_ERR_OPERATION_ABORTED', message: /modify was cancelled while waiting/ })
  const gone = take(jobs, 'query', { signal: AbortSignal.abort() })
  await t.rejects(gone.done, { code: 'VIR_ERR_OPERATION_ABORTED' })
  first.end()
  await settled()
  t.notOk(second.began)
  t.ok(third.began)
  const alone = take(new Jobs(), 'query', { signal: AbortSignal.abort() })
  await t.rejects(alone.done, { code: 'VIR_ERR_OPERATION_ABORTED' }, 'also where there is nothing to wait for')
})

t.test('who destroys the guest waits for none, and others wait for it', async t => {
  const jobs = new Jobs()
  const stuck = take(jobs, 'modify')
  const start = take(jobs, { async: 'start' })
  const destroy = take(jobs, 'destroy')
  await settled()
  t.ok(destroy.began)
  stuck.end()
  await stuck.done
  await settled()
  t.notOk(start.began)
  destroy.end()
  await settled()
  t.ok(start.began)
})

/** Jobs, and what of them is kept at each change. */
function kept(options: JobsOptions = {}) {
  const saves: unknown[] = []
  const jobs: Jobs = new Jobs({ ...options, onChange: () => saves.push(jobs.saved && { ...jobs.saved, sinceMs: 0 }) })
  return { jobs, saves }
}

t.test('an async job is kept from its begin to its end, but for a start', async t => {
  const { jobs, saves } = kept()
  await jobs.run({ async: 'migration-out' }, { api: 'virDomainMigratePerform3', flags: 3 }, job => {
    job.phase = 'perform3'
  })
  const saved = { kind: 'migration-out', api: 'virDomainMigratePerform3', flags: 3, sinceMs: 0 }
  t.same(saves, [{ ...saved, phase: undefined }, { ...saved, phase: 'perform3' }, undefined])
  saves.length = 0
  await jobs.run({ async: 'start' }, { api: 'virDomainCreate' }, job => {
    job.phase = 'launch'
    t.equal(jobs.saved, undefined)
  })
  t.same(saves, [])
})

t.test('another process goes on with what was kept', async t => {
  const { jobs: former } = kept()
  const backup = take(former, { async: 'backup' }, { api: 'virDomainBackupBegin' })
  await settled()
  backup.async!.phase = 'running'
  const saved = JSON.parse(JSON.stringify(former.saved))
  const { jobs, saves } = kept()
  const job = jobs.restore(saved)
  t.match(job, { kind: 'backup', phase: 'running', api: 'virDomainBackupBegin', isRestored: true, isReleased: true })
  t.equal(job.sinceMs, backup.async!.sinceMs)
  t.same(job.saved, former.saved)
  const save = take(jobs, { async: 'save' })
  const modify = take(jobs, 'modify')
  await settled()
  t.ok(modify.began)
  t.notOk(save.began)
  modify.end()
  job.end()
  await job.ended
  await settled()
  t.ok(save.began)
  t.match(saves, [{ kind: 'backup' }, undefined, { kind: 'save' }])
})

t.test('a job may outlive the call that began it', async t => {
  const jobs = new Jobs()
  await jobs.run({ async: 'backup' }, { api: 'virDomainBackupBegin' }, job => job.release())
  const job = jobs.async!
  t.equal(job.kind, 'backup')
  job.end(new Error('disk full'))
  job.end()
  await t.rejects(job.ended, { message: 'disk full' })
  t.equal(jobs.async, undefined)
  await t.rejects(
    jobs.run({ async: 'backup' }, { api: 'virDomainBackupBegin' }, () => Promise.reject(new Error('no'))),
    { message: 'no' }
  )
  t.equal(jobs.async, undefined, 'one that fails before it is released ends')
})

t.test('an async job waits for what is told of it', async t => {
  const jobs = new Jobs()
  const dump = () => jobs.run({ async: 'dump' }, { api: 'dump' }, job => job.until(() => job.told('DUMP_COMPLETED')))
  const told = dump()
  await settled()
  jobs.async!.tell('MIGRATION', {})
  jobs.async!.tell('DUMP_COMPLETED', { result: 1 })
  t.same(await told, { result: 1 })

  const aborted = dump()
  await settled()
  let asked = 0
  jobs.async!.cancel = async () => void asked++
  await jobs.async!.abort()
  await t.rejects(aborted, {
    code: 'VIR_ERR_OPERATION_ABORTED',
    message: 'operation aborted: domain core dump job: canceled by client'
  })
  t.equal(asked, 1)

  const gone = dump()
  await settled()
  jobs.guestGone()
  await t.rejects(gone, { code: 'VIR_ERR_OPERATION_FAILED', message: /domain is not running/ })
  t.equal(jobs.async, undefined)
  jobs.guestGone()
})

t.test('what a job came to is told once, or as often as wanted', async t => {
  const jobs = new Jobs()
  t.equal(jobs.takeCompleted(), undefined)
  await jobs.run({ async: 'save' }, { api: 'virDomainSave' }, job => {
    job.stats = { memory_total: { type: 'ullong', value: 9n } }
    jobs.complete('completed')
    t.equal(jobs.takeCompleted(), undefined, 'not while there is another')
  })
  const data = { operation: 2, status: 'completed', stats: { memory_total: { value: 9n } } }
  t.match(jobs.takeCompleted(), data)
  t.match(jobs.takeCompleted({ forget: true }), data)
  t.equal(jobs.takeCompleted(), undefined)
  jobs.complete('failed')
  t.equal(jobs.takeCompleted(), undefined, 'without a job there is nothing to keep')
})
