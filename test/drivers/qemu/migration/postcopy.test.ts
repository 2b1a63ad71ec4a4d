// A guest in post-copy, at either side: its states and events, what becomes of it when its connection, its client or its shim
// is gone, and how it is brought on.
import t, { type Test } from 'tap'
import { virDomainMigrateFlags } from '../../../../src/conf/enums.ts'
import { encodeCookie, formatCookie } from '../../../../src/drivers/qemu/migration/cookie.ts'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Answers, type Order, refuses } from '../../../helper/stand-in-qemu.ts'

t.setTimeout(240_000)

const { VIR_MIGRATE_LIVE, VIR_MIGRATE_POSTCOPY, VIR_MIGRATE_POSTCOPY_RESUME, VIR_MIGRATE_CHANGE_PROTECTION } =
  virDomainMigrateFlags
const POSTCOPY = VIR_MIGRATE_LIVE | VIR_MIGRATE_POSTCOPY
const RESUME = POSTCOPY | VIR_MIGRATE_POSTCOPY_RESUME | VIR_MIGRATE_CHANGE_PROTECTION
const THERE = 'tcp:192.0.2.1:49152'

/** The answers of a QEMU that can do post-copy; `migration` is its state. */
const answersWith = (migration: { status: string }): Answers => ({
  'query-migrate-capabilities': ['pause-before-switchover', 'return-path', 'postcopy-ram'].map(capability => ({
    capability,
    state: false
  })),
  'query-migrate-parameters': { 'max-bandwidth': 1, 'max-postcopy-bandwidth': 0 },
  'migrate-set-capabilities': {},
  'migrate-set-parameters': {},
  migrate: {},
  'migrate-incoming': {},
  'migrate-pause': {},
  'migrate-recover': {},
  'migrate-start-postcopy': {},
  'query-migrate': migration
})

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')

/** One side of a migration. */
class Side {
  readonly guest: StandInGuest
  readonly migration: { status: string }

  constructor(guest: StandInGuest, migration: { status: string }) {
    this.guest = guest
    this.migration = migration
  }

  /** QEMU's migration is in that state now. */
  tells(status: string): void {
    this.migration.status = status
    this.guest.qemu.peer.event('MIGRATION', { status })
  }

  get cookie(): string {
    const { name, uuid } = this.guest.domain
    const hostUuid = '5c1f6b1e-6d0e-4f3a-8a6b-000000000009'
    return base64(encodeCookie(formatCookie({ name, uuid, hostname: 'there', hostUuid })))
  }

  async phase(): Promise<string | undefined> {
    return (await this.guest.status())?.job?.phase
  }

  /** Calls a phase of the migration. */
  phaseCall(name: string, args: object = {}, signal?: AbortSignal) {
    const params = { migrate_uri: THERE, destination_name: this.guest.domain.name }
    return this.guest.call(`virDomainMigrate${name}3Params`, { params, cookie_in: this.cookie, ...args }, signal)
  }

  phaseFailure(name: string, args: object = {}) {
    const params = { migrate_uri: THERE }
    return this.guest.failureOf(`virDomainMigrate${name}3Params`, { params, ...args })
  }
}

/** A source whose guest runs elsewhere by now. */
async function leaving(t: Test, signal?: AbortSignal): Promise<Side> {
  const migration = { status: 'none' }
  const side = new Side(await StandInGuest.running(t, { answers: answersWith(migration), persistent: true }), migration)
  const { peer } = side.guest.qemu
  const sent = side.phaseCall('Perform', { flags: POSTCOPY }, signal)
  await peer.told('migrate')
  peer.event('STOP')
  side.tells('postcopy-active')
  await sent
  return side
}

const SUSPENDED = ['SUSPENDED MIGRATED', 'SUSPENDED POSTCOPY']

t.test('a source whose connection is lost, and found again', async t => {
  const side = await leaving(t)
  const { guest } = side
  const { peer } = guest.qemu
  t.same([await guest.state(), await side.phase()], ['PAUSED POSTCOPY', 'perform3_done'])
  t.same(guest.lifecycle, SUSPENDED)
  t.match(await guest.failureOf('virDomainAbortJob'), /cannot abort migration in post-copy mode/)
  t.match(
    await side.phaseFailure('Begin', { flags: RESUME }),
    /^VIR_ERR_OPERATION_INVALID .*post-copy migration of domain t-stand-in has not failed$/
  )
  await guest.call('virDomainAbortJobFlags', { flags: 1 })
  t.equal(peer.commands.at(-1), 'migrate-pause')
  side.tells('postcopy-paused')
  await guest.untilState('PAUSED POSTCOPY_FAILED')
  // its client hears of it at the other side
  await side.phaseCall('Confirm', { flags: POSTCOPY, cancelled: 1 })
  t.equal(await side.phase(), 'postcopy_failed')
  t.same(guest.lifecycle, [...SUSPENDED, 'SUSPENDED POSTCOPY_FAILED'])
  t.notOk(peer.commands.includes('migrate_cancel'), 'nothing is given up')

  const refusals: [RegExp, number][] = [
    [/^VIR_ERR_ARGUMENT_UNSUPPORTED .*requires post-copy to be enabled$/, RESUME & ~VIR_MIGRATE_POSTCOPY],
    [/^VIR_ERR_ARGUMENT_UNSUPPORTED .*requires change protection$/, RESUME & ~VIR_MIGRATE_CHANGE_PROTECTION],
    [/^VIR_ERR_OPERATION_INVALID .*another migration job is already running/, POSTCOPY | VIR_MIGRATE_CHANGE_PROTECTION]
  ]
  for (const [message, flags] of refusals) t.match(await side.phaseFailure('Begin', { flags }), message)
  side.migration.status = 'postcopy-active'
  t.match(await side.phaseFailure('Begin', { flags: RESUME }), /QEMU reports migration is still running/)
  side.migration.status = 'postcopy-paused'

  const begun = await guest.call('virDomainMigrateBegin3Params', { params: {}, flags: RESUME })
  t.match(begun.xml, '<name>t-stand-in</name>')
  t.equal(await side.phase(), 'begin_resume')
  t.match(
    await side.phaseFailure('Begin', { flags: RESUME }),
    /resuming failed post-copy migration of domain t-stand-in already in progress/
  )
  peer.answers.migrate = refuses('no way')
  t.match(await side.phaseFailure('Perform', { flags: RESUME }), /no way/)
  t.same([await guest.state(), await side.phase()], ['PAUSED POSTCOPY_FAILED', 'postcopy_failed'])

  peer.answers.migrate = {}
  guest.forget()
  await guest.call('virDomainMigrateBegin3Params', { params: {}, flags: RESUME })
  const performed = side.phaseCall('Perform', { flags: RESUME })
  const { args } = await peer.told('migrate')
  t.same(args, { uri: THERE, resume: true })
  side.tells('postcopy-recover')
  side.tells('postcopy-active')
  await performed
  t.same([await guest.state(), await side.phase()], ['PAUSED POSTCOPY', 'perform_resume'])
  t.same(guest.lifecycle, ['SUSPENDED POSTCOPY'])
  side.tells('completed')
  await side.phaseCall('Confirm', { flags: RESUME, cancelled: 0 })
  t.equal(await guest.state(), 'SHUTOFF MIGRATED')
})

t.test('a source whose client is gone', async t => {
  const client = new AbortController()
  const side = await leaving(t, client.signal)
  const { guest } = side
  client.abort()
  await guest.untilState('PAUSED POSTCOPY_FAILED')
  t.equal(await side.phase(), 'postcopy_failed')
  side.tells('completed')
  await guest.untilState('SHUTOFF MIGRATED')
})

t.test('a source that is told of a failure after all has gone', async t => {
  const side = await leaving(t)
  side.tells('completed')
  await side.phaseCall('Confirm', { flags: POSTCOPY, cancelled: 1 })
  t.equal(await side.guest.state(), 'SHUTOFF MIGRATED')
})

t.test('the shim of a source dies', async t => {
  const cases: [status: string, state: string, then: string][] = [
    ['postcopy-active', 'PAUSED POSTCOPY', 'SHUTOFF MIGRATED'],
    ['postcopy-paused', 'PAUSED POSTCOPY_FAILED', 'SHUTOFF MIGRATED'],
    ['completed', 'SHUTOFF MIGRATED', 'SHUTOFF MIGRATED']
  ]
  for (const [status, state, then] of cases) {
    await t.test(status, async t => {
      const side = await leaving(t)
      const { guest } = side
      guest.qemu.peer.answers['query-status'] = { status: 'postmigrate', running: false }
      guest.leave()
      side.migration.status = status
      await guest.takeOver()
      t.equal(await guest.state(), state)
      if (state !== then) {
        t.equal(await side.phase(), 'postcopy_failed')
        if (status === 'postcopy-paused') side.tells('postcopy-recover')
        await guest.untilState('PAUSED POSTCOPY')
        side.tells('completed')
      }
      await guest.untilState(then)
    })
  }
})

/** A destination that waits for its guest. */
async function waiting(t: Test, signal?: AbortSignal): Promise<Side> {
  const migration = { status: 'none' }
  const guest = await StandInGuest.make(t, { answers: answersWith(migration), persistent: true })
  const side = new Side(guest, migration)
  await guest.call(
    'virDomainMigratePrepare3Params',
    { params: { destination_xml: guest.xml }, cookie_in: side.cookie, flags: POSTCOPY },
    signal
  )
  guest.forget()
  return side
}

/** The same whose CPUs run, and the call that waits for the rest. */
async function arriving(t: Test, signal?: AbortSignal): Promise<{ side: Side; finished: Promise<string> }> {
  const side = await waiting(t, signal)
  const { guest } = side
  const { peer } = guest.qemu
  peer.answers.cont = (order: Order) => {
    peer.event('RESUME')
    order.reply()
  }
  side.tells('postcopy-active')
  const finished = side.phaseFailure('Finish', {
    params: { destination_name: guest.domain.name },
    flags: POSTCOPY,
    cancelled: 0
  })
  await guest.untilState('RUNNING POSTCOPY')
  return { side, finished }
}

t.test('a destination whose connection is lost, and found again', async t => {
  const client = new AbortController()
  const { side, finished } = await arriving(t, client.signal)
  const { guest } = side
  const { peer } = guest.qemu
  side.tells('postcopy-paused')
  t.match(await finished, /^VIR_ERR_OPERATION_FAILED .*job 'migration in' failed in post-copy phase$/)
  t.same([await guest.state(), await side.phase()], ['RUNNING POSTCOPY_FAILED', 'postcopy_failed'])
  t.same(guest.lifecycle, ['RESUMED POSTCOPY', 'RESUMED POSTCOPY_FAILED'])
  client.abort()
  await new Promise(setImmediate)
  t.equal(await guest.state(), 'RUNNING POSTCOPY_FAILED', 'it does not end with its client')

  const params = { destination_xml: guest.xml, migrate_uri: 'tcp:192.0.2.1' }
  const prepare = { params, cookie_in: side.cookie, flags: RESUME }
  t.match(
    await side.phaseFailure('Prepare', { ...prepare, params: { ...params, destination_name: 'other' } }),
    /^VIR_ERR_NO_DOMAIN .*no domain with matching name 'other'/
  )
  peer.answers['migrate-recover'] = refuses('no way')
  t.match(await side.phaseFailure('Prepare', prepare), /no way/)
  t.equal(await side.phase(), 'postcopy_failed')
  peer.answers['migrate-recover'] = {}

  // its source does not come, and says so
  const { uri_out: uri } = await side.phaseCall('Prepare', prepare)
  t.match(uri, /^tcp:192\.0\.2\.1:\d+$/)
  t.equal(await side.phase(), 'prepare_resume')
  const named = { params: { destination_name: guest.domain.name }, flags: RESUME }
  t.match(await side.phaseFailure('Finish', { ...named, cancelled: 1 }), /failed in post-copy phase/)
  t.same([await guest.state(), await side.phase()], ['RUNNING POSTCOPY_FAILED', 'postcopy_failed'])

  guest.forget()
  await side.phaseCall('Prepare', prepare)
  const arrived = side.phaseCall('Finish', { ...named, cancelled: 0 })
  side.tells('postcopy-recover')
  side.tells('postcopy-active')
  await guest.untilState('RUNNING POSTCOPY')
  side.tells('completed')
  t.match((await arrived).dom, { name: guest.domain.name })
  t.equal(await guest.state(), 'RUNNING MIGRATED')
  t.same(guest.lifecycle, ['RESUMED POSTCOPY', 'RESUMED MIGRATED'])
  t.equal((await guest.status())?.job, undefined)
})

t.test('the shim of a destination dies', async t => {
  const cases: [status: string, state: string][] = [
    ['postcopy-active', 'RUNNING POSTCOPY'],
    ['postcopy-paused', 'RUNNING POSTCOPY_FAILED'],
    ['completed', 'RUNNING MIGRATED']
  ]
  for (const [status, state] of cases) {
    await t.test(status, async t => {
      const { side } = await arriving(t)
      const { guest } = side
      guest.qemu.peer.answers['query-status'] = { status: 'running', running: true }
      guest.leave()
      side.migration.status = status
      await guest.takeOver()
      t.equal(await guest.state(), state)
      if (status === 'completed') return
      t.equal(await side.phase(), 'postcopy_failed')
      if (status === 'postcopy-paused') side.tells('postcopy-recover')
      side.tells('completed')
      await guest.untilState('RUNNING MIGRATED')
      await guest.untilSaved({ job: undefined })
    })
  }
  await t.test('before it has run', async t => {
    const side = await waiting(t)
    const { guest } = side
    const { peer } = guest.qemu
    peer.answers.cont = (order: Order) => {
      peer.event('RESUME')
      order.reply()
    }
    const { job } = (await guest.status())!
    guest.leave()
    side.migration.status = 'postcopy-active'
    peer.answers['query-status'] = { status: 'paused', running: false }
    await guest.takeOver({ job: { ...job!, phase: 'finish3' } })
    t.equal(await guest.state(), 'RUNNING POSTCOPY', 'its source has given it away')
    side.tells('completed')
    await guest.untilState('RUNNING MIGRATED')
  })
})

t.test('one that is not to come is ended, also by the next shim', async t => {
  const side = await waiting(t)
  const { guest } = side
  side.tells('postcopy-active')
  t.match(
    await side.phaseFailure('Finish', {
      params: { destination_name: guest.domain.name },
      flags: POSTCOPY,
      cancelled: 1
    }),
    /VIR_ERR_MIGRATE_FINISH_OK/
  )
  t.match(await guest.state(), /^SHUTOFF/)
  const other = await waiting(t)
  other.migration.status = 'postcopy-active'
  other.guest.leave()
  await other.guest.takeOver()
  t.match(await other.guest.state(), /^SHUTOFF/)
})
