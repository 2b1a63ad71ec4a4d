// What a row says of arguments, job, state and definitions, carried out by dispatch: in which order, and who waits.
import t from 'tap'
import { type Api, api } from '../../src/drivers/qemu/index.ts'
import { bareDomain, failureOf } from '../helper/bare-domain.ts'
import { promised } from '../helper/promised.ts'

const rows = Object.entries(api) as [string, Api][]
const settled = () => new Promise(resolve => setImmediate(resolve))

t.test('a row that only reads takes no job of the monitor, one that writes says which', async t => {
  // their jobs are the agent's or the monitor's, by who is asked in the end; the next two speak to nobody; an end of a
  // block job is acted upon before the next tells of it; a migration's settings are asked for in its job
  const byThemselves = [
    ...['virDomainShutdown', 'virDomainShutdownFlags', 'virDomainReboot'],
    ...['virDomainPMSuspendForDuration', 'virDomainAgentSetResponseTimeout', 'virDomainFDAssociate'],
    ...['virDomainGetBlockJobInfo', 'virDomainMigrateGetMaxDowntime', 'virDomainMigrateGetCompressionCache']
  ]
  // one job over several calls, which they begin and end
  const isPhase = (name: string) => /^virDomainMigrate(Begin3|Perform3|Confirm3|ToURI)/.test(name)
  for (const [name, row] of rows) {
    if (row.on !== 'domain' || typeof row.job === 'function' || byThemselves.includes(name) || isPhase(name)) continue
    const takes = row.job !== undefined
    if (row.readOnly) t.notOk(takes && !(typeof row.job === 'object' && 'agent' in row.job), `${name} waits for nobody`)
    else if (!row.stream) t.ok(takes || /^domain:(read|block_read|open_)/.test(row.acl ?? ''), `${name} takes a job`)
  }
})

t.test('calls that only read do not wait while every job is held', async t => {
  const { domain, call } = await bareDomain(t.testdir({}), {
    answers: {
      'query-block': () => [],
      'query-blockstats': () => [],
      'qom-get': () => ({ stats: {}, 'last-update': 0 })
    }
  })
  const held = promised<void>()
  const dump = domain.jobs.run({ async: 'dump' }, { api: 'dump' }, job => job.nested(() => held.promise))
  await settled()
  t.equal(domain.jobs.active?.api, 'dump')
  for (const [name, row] of rows) {
    if (row.on !== 'domain' || !row.readOnly || row.job || Object.keys(row.args).some(arg => arg !== 'flags')) continue
    // a failure is an answer, too
    await call(name, {}, { readOnly: true }).catch(() => undefined)
    t.pass(name)
  }
  held.resolve()
  await dump
})

t.test('arguments, then job, then state, then definitions', async t => {
  const { domain, call } = await bareDomain(t.testdir({}), { active: false })
  const held = promised<void>()
  const holder = domain.jobs.run('modify', { api: 'holder' }, () => held.promise)
  const title = { type: 'VIR_DOMAIN_METADATA_TITLE', flags: ['VIR_DOMAIN_AFFECT_LIVE'] }
  t.match(await failureOf(() => call('virDomainSetMetadata', { ...title, metadata: 'a\nb' })), {
    message: "metadata title can't contain newlines"
  })
  t.match(await failureOf(() => call('virDomainRename', { new_name: '' })), { message: /must not be empty/ })
  t.match(await failureOf(() => call('virDomainGetHostname', { flags: 3 })), { message: /are mutually exclusive/ })
  t.match(
    await failureOf(() => call('virDomainDestroy', {})),
    { message: /domain is not running/ },
    'it waits for none'
  )
  const late = [
    ['virDomainSetMetadata', { ...title, metadata: 'a' }, /domain is not running/],
    ['virDomainSuspend', {}, /domain is not running/],
    ['virDomainAbortJob', {}, /domain is not running/]
  ] as const
  const errors: Promise<unknown>[] = []
  let answers = 0
  for (const [name, args] of late) errors.push(failureOf(() => call(name, args)).finally(() => answers++))
  await settled()
  t.equal(answers, 0, 'they wait for the job')
  held.resolve()
  await holder
  for (const [at, error] of (await Promise.all(errors)).entries())
    t.match(error, { message: late[at]![2] }, late[at]![0])
  domain.removed = true
  t.match(await failureOf(() => call('virDomainSuspend', {})), { code: 'VIR_ERR_NO_DOMAIN' })
})

t.test('a guest that runs is not started, nor renamed', async t => {
  const { call } = await bareDomain(t.testdir({}))
  t.match(await failureOf(() => call('virDomainCreate', {})), { message: /domain is already running/ })
  t.match(await failureOf(() => call('virDomainRename', { new_name: 'other' })), {
    message: /cannot rename active domain/
  })
})

t.test('the agent holds up nobody but who asks it', async t => {
  const reply = promised<unknown>()
  const { domain, call } = await bareDomain(t.testdir({}), { answers: { 'rtc-reset-reinjection': () => ({}) } })
  domain.running.agent = { connected: true, execute: () => reply.promise } as never
  const time = call('virDomainSetTime', { seconds: 1 })
  const name = call('virDomainGetHostname')
  await settled()
  t.equal(domain.jobs.active, undefined)
  await call('virDomainSetMetadata', { type: 0, metadata: 'told', uri: null, key: null })
  t.equal(domain.def.description, 'told')
  reply.resolve({ 'host-name': 'inside' })
  t.same(await time, {})
  t.same(await name, { hostname: 'inside' })
})

t.test('who waits is let go when its client goes', async t => {
  const { domain, call } = await bareDomain(t.testdir({}))
  const held = promised<void>()
  const holder = domain.jobs.run('modify', { api: 'holder' }, () => held.promise)
  const client = new AbortController()
  const error = failureOf(() => call('virDomainReset', {}, { signal: client.signal }))
  await settled()
  client.abort()
  t.match(await error, { code: 'VIR_ERR_OPERATION_ABORTED' })
  held.resolve()
  await holder
})
