// Limits of migrations, each told to QEMU; what it refuses changes nothing.
import t from 'tap'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { refuses } from '../../../helper/stand-in-qemu.ts'

const PARAMETERS = {
  'max-bandwidth': 134217728,
  'max-postcopy-bandwidth': 3 * 1024 * 1024 + 1,
  'downtime-limit': 300,
  'xbzrle-cache-size': 67108864
}

const ANSWERS = {
  'query-migrate-capabilities': [{ capability: 'xbzrle', state: false }],
  'query-migrate-parameters': PARAMETERS,
  'migrate-set-parameters': {},
  'migrate-start-postcopy': {}
}

const INVALID = 'VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: Requested operation is not valid:'

t.test('are told to QEMU and asked of it', async t => {
  const guest = await StandInGuest.running(t, { answers: { ...ANSWERS } })
  const { peer } = guest.qemu
  const calls: [api: string, args: object, result: object, told?: object][] = [
    ['virDomainMigrateSetMaxDowntime', { downtime: 7 }, {}, { 'downtime-limit': 7 }],
    ['virDomainMigrateGetMaxDowntime', {}, { downtime: 300n }],
    ['virDomainMigrateSetCompressionCache', { cacheSize: 4096 }, {}, { 'xbzrle-cache-size': 4096 }],
    ['virDomainMigrateGetCompressionCache', {}, { cacheSize: 67108864n }],
    ['virDomainMigrateGetMaxSpeed', {}, { bandwidth: 8796093022207n }],
    ['virDomainMigrateSetMaxSpeed', { bandwidth: 2 }, {}, { 'max-bandwidth': 2097152 }],
    ['virDomainMigrateGetMaxSpeed', {}, { bandwidth: 2n }],
    ['virDomainMigrateSetMaxSpeed', { bandwidth: 5, flags: 1 }, {}, { 'max-postcopy-bandwidth': 5242880 }],
    ['virDomainMigrateGetMaxSpeed', { flags: 1 }, { bandwidth: 3n }],
    ['virDomainMigrateGetMaxSpeed', {}, { bandwidth: 2n }]
  ]
  for (const [api, args, result, told] of calls) {
    peer.orders.length = 0
    t.same(await guest.call(api, args), result, api)
    const set = peer.orders.filter(({ command }) => command === 'migrate-set-parameters')
    t.same(
      set.map(({ args }) => args),
      told ? [told] : [],
      `${api}, QEMU`
    )
  }
})

t.test('the speed outlasts the run and this process', async t => {
  const guest = await StandInGuest.running(t, { persistent: true, answers: { ...ANSWERS } })
  await guest.call('virDomainMigrateSetMaxSpeed', { bandwidth: 9 })
  t.match(await guest.status(), { migrationSpeed: 9 })
  guest.leave()
  await guest.takeOver()
  t.same(await guest.call('virDomainMigrateGetMaxSpeed'), { bandwidth: 9n })
  await guest.call('virDomainDestroy')
  t.same(await guest.call('virDomainMigrateGetMaxSpeed'), { bandwidth: 9n })
  await guest.call('virDomainMigrateSetMaxSpeed', { bandwidth: 8796093022207 })
  t.same(await guest.call('virDomainMigrateGetMaxSpeed'), { bandwidth: 8796093022207n })
})

t.test('what QEMU refuses changes nothing', async t => {
  const answers = { ...ANSWERS, 'migrate-set-parameters': refuses('out of range') }
  const guest = await StandInGuest.running(t, { answers })
  for (const [api, args] of [
    ['virDomainMigrateSetMaxDowntime', { downtime: 7 }],
    ['virDomainMigrateSetCompressionCache', { cacheSize: 4096 }],
    ['virDomainMigrateSetMaxSpeed', { bandwidth: 2 }]
  ] as const) {
    t.match(await guest.failureOf(api, args), "unable to execute QEMU command 'migrate-set-parameters': out of range")
  }
  t.same(await guest.call('virDomainMigrateGetMaxSpeed'), { bandwidth: 8796093022207n })
})

t.test('what a QEMU cannot', async t => {
  const answers = { ...ANSWERS, 'query-migrate-capabilities': [], 'query-migrate-parameters': {} }
  const guest = await StandInGuest.running(t, { answers })
  const cases: [api: string, args: object, message: string][] = [
    ['virDomainMigrateGetMaxDowntime', {}, `${INVALID} Querying migration downtime is not supported by QEMU binary`],
    [
      'virDomainMigrateGetMaxSpeed',
      { flags: 1 },
      `${INVALID} querying maximum post-copy migration speed is not supported by QEMU binary`
    ],
    ...[
      { api: 'virDomainMigrateGetCompressionCache' },
      { api: 'virDomainMigrateSetCompressionCache', cacheSize: 1 }
    ].map(({ api, ...args }): [string, object, string] => [
      api,
      args,
      'VIR_ERR_OPERATION_UNSUPPORTED VIR_FROM_QEMU: Operation not supported: Compressed migration is not supported by QEMU binary'
    ])
  ]
  for (const [api, args, message] of cases) t.equal(await guest.failureOf(api, args), message)
})

t.test('limits of the numbers', async t => {
  const guest = await StandInGuest.make(t)
  const overflow = 'VIR_ERR_OVERFLOW VIR_FROM_QEMU: numerical overflow: bandwidth must be less than'
  const set = (bandwidth: number | bigint, flags = 0) =>
    guest.failureOf('virDomainMigrateSetMaxSpeed', { bandwidth, flags })
  t.equal(await set(8796093022208), `${overflow} 8796093022208`)
  t.equal(await set(17592186044416, 1), `${overflow} 17592186044416`)
  t.equal(await set(8796093022207), '')
  t.match(await set(17592186044415, 1), 'domain is not running')
  t.match(await guest.failureOf('virDomainMigrateGetMaxDowntime'), 'domain is not running')
})

t.test('post-copy begins within a migration that was to have it', async t => {
  const guest = await StandInGuest.running(t, { answers: { ...ANSWERS } })
  const refusal = () => guest.failureOf('virDomainMigrateStartPostCopy')
  t.equal(await refusal(), `${INVALID} post-copy can only be started while outgoing migration is in progress`)
  const during = (kind: 'migration-out' | 'save', flags: number, message: string) =>
    guest.domain.jobs.run({ async: kind }, { api: 'other', flags }, async job => {
      job.allow(['query', 'migration-op'])
      t.equal(await refusal(), message)
    })
  await during('save', 1 << 15, `${INVALID} post-copy can only be started while outgoing migration is in progress`)
  await during(
    'migration-out',
    1,
    `${INVALID} switching to post-copy requires migration to be started with VIR_MIGRATE_POSTCOPY flag`
  )
  guest.forget()
  await during('migration-out', 1 << 15, '')
  t.same(guest.qemu.peer.commands, ['migrate-start-postcopy'])
})
