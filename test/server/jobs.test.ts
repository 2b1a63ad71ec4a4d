// Jobs over HTTP: a guest that gives up no device keeps its call waiting, which others see at the shim and the aggregator.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { AggregatorRun } from '../helper/aggregator.ts'
import { bareGuest } from '../helper/shim.ts'

t.setTimeout(120_000)

const RNG = "<rng model='virtio'><backend model='builtin'/></rng>"
const NAME = `t-jobs-${process.pid}`

t.test('a call that holds its guest is a job, of the shim and of the host', async t => {
  const host = new AggregatorRun()
  t.teardown(() => host.end())
  await host.start()
  const created = await host.call('virDomainCreateXML', { xmlDesc: bareGuest(NAME, RNG) })
  t.equal(created.status, 200, created.body.message)
  t.same((await host.call('jobs')).body, { jobs: [] })
  const detaching = host.call(`/v1/domains/${NAME}/virDomainDetachDevice`, { xml: RNG })
  let jobs: object[] = []
  while (jobs.length === 0) {
    jobs = (await host.call('jobs')).body.jobs
    await sleep(10)
  }
  t.match(jobs, [
    { guest: { name: NAME }, kind: 'modify', heldBy: 'virDomainDetachDevice', sinceMs: Number, cancellable: false }
  ])
  const { id } = jobs[0] as { id: string }
  t.match((await host.call(`/v1/domains/${NAME}/jobs`)).body.jobs, [{ id }])
  t.match((await host.call(`/v1/domains/${NAME}/jobs/${id}`)).body, { id, kind: 'modify' })
  t.match((await host.call(`/v1/domains/${NAME}/jobs/none`)).body, { codeName: 'VIR_ERR_OPERATION_INVALID' })
  t.equal((await detaching).status, 200)
  t.same((await host.call('jobs')).body, { jobs: [] })
})
