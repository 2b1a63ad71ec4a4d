// Jobs as objects: the async one with its progress, the calls that hold the guest, one that is given up.
import t from 'tap'
import { typed } from '../../../../src/conf/wire.ts'
import { cancelJob, getJob, listJobs } from '../../../../src/drivers/qemu/job/list.ts'
import type { AsyncJob } from '../../../../src/state/async-job.ts'
import { bareDomain, failureOf } from '../../../helper/bare-domain.ts'

const memory = (remaining: number, more = {}) => ({
  memory_total: typed.ullong(1000),
  memory_processed: typed.ullong(1000 - remaining),
  memory_remaining: typed.ullong(remaining),
  ...more
})

async function guest() {
  const { domain } = await bareDomain(t.testdir({}))
  const during = (work: (job: AsyncJob) => Promise<void>) =>
    domain.jobs.run({ async: 'dump' }, { api: 'virDomainCoreDump' }, work)
  return { domain, during }
}

t.test('without one there is nothing', async t => {
  const { domain } = await guest()
  t.same(await listJobs(domain), [])
  t.match(await failureOf(() => getJob(domain, 'dump-1')), { message: /no job 'dump-1' is active/ })
})

t.test('percent never runs backwards; what counts nothing has none', async t => {
  const { domain, during } = await guest()
  await during(async job => {
    const [first] = await listJobs(domain)
    t.match(first, { kind: 'dump', heldBy: 'virDomainCoreDump', cancellable: true, id: `dump-${job.sinceMs}` })
    t.notOk('percent' in first!, 'nothing is counted yet')
    const percents: unknown[] = []
    for (const remaining of [900, 500, 700, 5000, 0]) {
      job.update = async () => {
        job.stats = memory(remaining)
      }
      percents.push((await listJobs(domain))[0]?.percent)
    }
    t.same(percents, [10, 50, 50, 50, 100])
    job.stats = memory(500, { memory_bps: typed.ullong(77) })
    job.update = () => Promise.reject(new Error('QEMU is gone'))
    t.match(await getJob(domain, first!.id), { bytesPerSecond: 77 }, 'what is known is told')
  })
  t.same(await listJobs(domain), [])
})

t.test('calls that hold the guest, beside it', async t => {
  const { domain, during } = await guest()
  await domain.jobs.run({ agent: 'query' }, { api: 'virDomainGetTime' }, async () => {
    await during(async job => {
      await job.nested(async () => {
        const jobs = await listJobs(domain)
        t.match(
          jobs.map(({ kind, heldBy, cancellable }) => ({ kind, heldBy, cancellable })),
          [
            { kind: 'dump', cancellable: true },
            { kind: 'modify', heldBy: 'virDomainCoreDump', cancellable: false },
            { kind: 'agent', heldBy: 'virDomainGetTime', cancellable: false }
          ]
        )
        t.match(await failureOf(() => cancelJob(domain, jobs[2]!.id)), { message: /of virDomainGetTime cannot be/ })
      })
    })
  })
})

t.test('one is given up by its id', async t => {
  const { domain, during } = await guest()
  await t.rejects(
    during(async job => {
      await cancelJob(domain, `dump-${job.sinceMs}`)
      await job.until(() => undefined)
    }),
    { message: /canceled by client/ }
  )
})
