// The async job as clients see it: progress, statistics, giving up, what the monitor is busy with.
import t, { type Test } from 'tap'
import { typed } from '../../../../src/conf/wire.ts'
import type { AsyncJob, AsyncJobKind, JobStatus } from '../../../../src/state/async-job.ts'
import { bareDomain, failureOf } from '../../../helper/bare-domain.ts'
import { promised } from '../../../helper/promised.ts'

/** A running guest, how it is called, and what goes on while it has a job. */
async function guest(t: Test) {
  const { domain, call } = await bareDomain(t.testdir({}))
  /** Runs `work` while an async job is under way. */
  const during = async (kind: AsyncJobKind, work: (job: AsyncJob) => Promise<unknown>, flags = 0) => {
    await domain.jobs.run({ async: kind }, { api: 'owner', flags }, work)
  }
  return { domain, call, during }
}

const NOTHING = { type: 0, timeElapsed: 0n, dataTotal: 0n, memTotal: 0n, fileRemaining: 0n }

t.test('without a job there is nothing to tell, nor to give up', async t => {
  const { call } = await guest(t)
  t.match(await call('virDomainGetJobInfo'), NOTHING)
  t.same(await call('virDomainGetJobStats'), { type: 0, params: {} })
  t.same(await call('virDomainGetJobStats', { flags: 1 }), { type: 0, params: {} })
  t.match(await failureOf(() => call('virDomainAbortJob')), { message: /no job is active on the domain/ })
  t.match(await failureOf(() => call('virDomainAbortJobFlags', { flags: 1 })), {
    message: /current job is not outgoing migration in post-copy mode/
  })
})

t.test('progress is asked for anew, memory and disks together', async t => {
  const { call, during } = await guest(t)
  await during('backup', async job => {
    job.update = async () => {
      job.stats = {
        memory_total: typed.ullong(10),
        memory_processed: typed.ullong(4),
        memory_remaining: typed.ullong(6),
        disk_total: typed.ullong(100),
        disk_processed: typed.ullong(30),
        disk_remaining: typed.ullong(70)
      }
    }
    const counts = { memTotal: 10n, memProcessed: 4n, memRemaining: 6n, fileTotal: 100n, fileProcessed: 30n }
    const data = { dataTotal: 110n, dataProcessed: 34n, dataRemaining: 76n, fileRemaining: 70n }
    t.match(await call('virDomainGetJobInfo'), { type: 2, ...counts, ...data })
    const { type, params } = await call('virDomainGetJobStats')
    t.equal(type, 2)
    t.same(Object.keys(params!).slice(0, 3), ['operation', 'time_elapsed', 'memory_total'])
    t.match(params, { operation: typed.int(9), disk_processed: typed.ullong(30) })
    job.update = async () => Promise.reject(new Error('lost'))
    await t.rejects(call('virDomainGetJobInfo'), { message: 'lost' })
  })
  t.match(await call('virDomainGetJobInfo'), NOTHING)
})

t.test('how a job stands', async t => {
  const { call, during, domain } = await guest(t)
  const types: [JobStatus, number][] = [
    ['active', 2],
    ['paused', 2],
    ['postcopy', 2],
    ['completed', 3],
    ['failed', 4],
    ['canceled', 5]
  ]
  await during('save', async job => {
    for (const [status, type] of types) {
      job.status = status
      t.match(await call('virDomainGetJobInfo'), { type }, status)
    }
    t.match(await failureOf(() => call('virDomainGetJobStats')), { message: /invalid job statistics type/ })
    job.stats = { memory_total: typed.ullong(7) }
    domain.jobs.complete('completed')
    t.same(await call('virDomainGetJobStats', { flags: 1 }), { type: 0, params: {} }, 'not while another is under way')
  })
  for (const flags of [3, 3, 1])
    t.match(await call('virDomainGetJobStats', { flags }), {
      type: 3,
      params: { operation: typed.int(2), memory_total: typed.ullong(7) }
    })
  t.same(await call('virDomainGetJobStats', { flags: 1 }), { type: 0, params: {} }, 'it was told')
  await during('migration-in', async () => {
    t.match(await failureOf(() => call('virDomainGetJobInfo')), {
      code: 'VIR_ERR_OPERATION_UNSUPPORTED',
      message: /only on the source host/
    })
  })
})

t.test('what can be given up', async t => {
  const { call, during } = await guest(t)
  const cases: [AsyncJobKind, flags: number, status: JobStatus, abort: number, refusal: RegExp | undefined][] = [
    ['save', 0, 'active', 0, undefined],
    ['dump', 0, 'active', 0, undefined],
    ['dump', 16, 'active', 0, /cannot abort memory-only dump/],
    ['backup', 0, 'active', 0, undefined],
    ['backup', 0, 'active', 1, /not outgoing migration in post-copy mode/],
    ['migration-out', 0, 'migrating', 0, undefined],
    ['migration-out', 0, 'postcopy', 0, /cannot abort migration in post-copy mode/],
    ['migration-out', 0, 'postcopy', 1, undefined],
    ['migration-out', 0, 'postcopy-paused', 1, undefined],
    ['migration-out', 0, 'migrating', 1, /not outgoing migration in post-copy mode/]
  ]
  for (const [kind, flags, status, abort, refusal] of cases) {
    const name = `${kind} ${flags} ${status} ${abort}`
    await during(
      kind,
      async job => {
        job.status = status
        let cancelled = false
        job.cancel = async () => {
          cancelled = true
        }
        const error = await failureOf(() => call('virDomainAbortJobFlags', { flags: abort })).catch(() => undefined)
        if (refusal) t.match(error, { code: 'VIR_ERR_OPERATION_INVALID', message: refusal }, name)
        t.equal(cancelled, refusal === undefined, name)
      },
      flags
    )
  }
  // a job that lets nobody in is not given up either: the call waits, as in libvirt
  await during('snapshot', async job => {
    job.allow()
    await call('virDomainAbortJob')
    await t.rejects(
      job.until(() => undefined),
      { message: 'operation aborted: snapshot job: canceled by client' }
    )
  })
  for (const [kind, message] of [
    ['start', /cannot abort VM start; use virDomainDestroy instead/],
    ['migration-in', /cannot abort incoming migration; use virDomainDestroy instead/]
  ] as const)
    await during(kind, async job => {
      job.allow()
      t.match(await failureOf(() => call('virDomainAbortJob')), { message }, kind)
    })
})

t.test('what the monitor is busy with', async t => {
  const { call, during, domain } = await guest(t)
  const [OK, JOB, OCCUPIED, ERROR] = [0, 1, 2, 3]
  const idle = { state: OK, details: 0, stateTime: 0n }
  t.same(await call('virDomainGetControlInfo'), idle)
  const held = promised<void>()
  const modify = domain.jobs.run('modify', { api: 'holder' }, () => held.promise)
  t.match(await call('virDomainGetControlInfo'), { state: OCCUPIED, details: 0 })
  held.resolve()
  await modify
  await during('save', async job => {
    t.same(await call('virDomainGetControlInfo'), idle, 'between its steps')
    await job.nested(async () => t.match(await call('virDomainGetControlInfo'), { state: JOB, details: 0 }))
  })
  domain.running.monitor = undefined
  t.same(await call('virDomainGetControlInfo'), { state: ERROR, details: 2, stateTime: 0n })
})
