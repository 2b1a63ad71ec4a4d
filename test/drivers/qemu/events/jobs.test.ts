// Events of jobs go to the object of their job, and to nobody where there is none.
import t from 'tap'
import { bareDomain } from '../../../helper/bare-domain.ts'

t.test('those of what QEMU does one of at a time go to the async job', async t => {
  const { domain, tell, errors } = await bareDomain(t.testdir({}))
  tell('DUMP_COMPLETED', { result: {} })
  await domain.jobs.run({ async: 'migration-out' }, { api: 'virDomainMigratePerform3' }, job => {
    t.equal(job.told('DUMP_COMPLETED'), undefined, 'what came before it is not about it')
    tell('MIGRATION', { status: 'setup' })
    tell('MIGRATION', { status: 'active' })
    tell('MIGRATION_PASS', { pass: 2 })
    t.same(job.told('MIGRATION'), { status: 'active' })
    t.same(job.told('MIGRATION_PASS'), { pass: 2 })
  })
  t.same(errors, [])
})

t.test('those of jobs with an id go to who follows that job', async t => {
  const { domain, tell, errors } = await bareDomain(t.testdir({}))
  const told: unknown[] = []
  domain.jobs.qemuJobs.set('pull-vda', { tell: (event, data) => void told.push([event, data.status ?? data.type]) })
  tell('JOB_STATUS_CHANGE', { id: 'pull-vda', status: 'running' })
  tell('JOB_STATUS_CHANGE', { id: 'other', status: 'concluded' })
  tell('BLOCK_JOB_READY', { device: 'pull-vda', type: 'stream' })
  tell('BLOCK_JOB_PENDING', { id: 'pull-vda', type: 'stream' })
  t.same(told, [
    ['JOB_STATUS_CHANGE', 'running'],
    ['BLOCK_JOB_READY', 'stream'],
    ['BLOCK_JOB_PENDING', 'stream']
  ])
  t.same(errors, [])
  tell('JOB_STATUS_CHANGE', { status: 'running' })
  t.match(errors[0]?.message, /no usable 'id'/)
})
