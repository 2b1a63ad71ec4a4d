// The end of a guest: QEMU gently, then not, then everything it had of the host.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Clock } from '../../../helper/clock.ts'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { silent } from '../../../helper/stand-in-qemu.ts'

const GRACEFUL = { flags: ['VIR_DOMAIN_DESTROY_GRACEFUL'] }
const INVALID = 'VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: Requested operation is not valid:'
const NOT_RUNNING = 'VIR_ERR_OPERATION_INVALID VIR_FROM_DOMAIN: Requested operation is not valid: domain is not running'

t.test('a QEMU that ends when it is asked to', async t => {
  const guest = await StandInGuest.running(t)
  const { id } = await guest.call('virDomainGetID')
  t.equal(id, 1)
  t.equal(await guest.failureOf('virDomainDestroy'), '')
  t.equal(await guest.state(), 'SHUTOFF DESTROYED')
  t.same(guest.lifecycle, ['STOPPED DESTROYED'])
  t.same(guest.leftovers, [])
  t.notOk(guest.qemu.isAlive)
  t.equal((await guest.call('virDomainGetID')).id, -1)
  t.match(await guest.ended(), { failed: false })
  t.equal(await guest.failureOf('virDomainDestroy'), NOT_RUNNING)
  await guest.start()
  t.equal(await guest.state(), 'RUNNING BOOTED', 'it can be started again')
})

t.test('a QEMU that does not hear SIGTERM', async t => {
  const clock = new Clock(t)
  const guest = await StandInGuest.running(t, { ignoresTerm: true })
  const pid = guest.qemu.pid
  const asked = guest.failureOf('virDomainDestroyFlags', GRACEFUL)
  await guest.untilSaved({ phase: 'stopping' })
  clock.pass(10_000)
  t.equal(
    await asked,
    `VIR_ERR_OPERATION_FAILED VIR_FROM_QEMU: operation failed: QEMU process ${pid} did not end in time`
  )
  t.equal(await guest.state(), 'RUNNING BOOTED')
  t.equal((await guest.status())?.phase, 'running')
  t.equal(await guest.failureOf('virDomainSuspend'), '', 'it can be used as before')
  t.same(guest.lifecycle, ['SUSPENDED PAUSED'])
  const forced = guest.failureOf('virDomainDestroy')
  await guest.untilSaved({ phase: 'stopping' })
  clock.pass(10_000)
  t.equal(await forced, '')
  t.equal(await guest.state(), 'SHUTOFF DESTROYED')
  t.same(guest.leftovers, [])
})

t.test('one who destroys what is being destroyed', async t => {
  const clock = new Clock(t)
  const guest = await StandInGuest.running(t, { ignoresTerm: true })
  const first = guest.failureOf('virDomainDestroy')
  await guest.untilSaved({ phase: 'stopping' })
  t.equal(await guest.failureOf('virDomainDestroy'), `${INVALID} domain is already being destroyed`)
  clock.pass(10_000)
  t.equal(await first, '')
  t.same(guest.lifecycle, ['STOPPED DESTROYED'], 'it is told once')
})

t.test('destroy waits for no call that waits for QEMU', async t => {
  const guest = await StandInGuest.running(t, { answers: { stop: silent } })
  const stuck = guest.failureOf('virDomainSuspend')
  const queued = guest.failureOf('virDomainResume')
  await guest.qemu.peer.told('stop')
  t.equal(await guest.failureOf('virDomainDestroy'), '')
  t.match(
    await stuck,
    /^VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: (End of file|Unable to read) from (qemu )?monitor/
  )
  t.match(await queued, /^VIR_ERR_OPERATION_INVALID /, 'who waited for it fails, too')
})

t.test('what QEMU said before it ended is told before its end', async t => {
  const guest = await StandInGuest.running(t)
  const { peer } = guest.qemu
  peer.event('RTC_CHANGE', { offset: 7 })
  await guest.call('virDomainDestroy')
  t.same(
    guest.told.map(([event]) => event),
    ['RTC_CHANGE', 'LIFECYCLE']
  )
})

t.test('what cannot be given back keeps nothing else from it', async t => {
  const guest = await StandInGuest.running(t)
  const inTheWay = join(guest.root.dir, 'master-key.aes')
  rmSync(inTheWay)
  mkdirSync(inTheWay)
  writeFileSync(join(inTheWay, 'kept'), '')
  t.equal(await guest.failureOf('virDomainDestroy'), '')
  t.equal(await guest.state(), 'SHUTOFF DESTROYED')
  t.same(guest.leftovers, ['master-key.aes'])
  t.match(
    guest.logged.filter(({ level }) => level === 'error'),
    [{ message: 'what a guest had of the host could not be released' }]
  )
  t.notOk(existsSync(guest.root.status), 'the run is over')
})

t.test('logs are removed where that is asked for', async t => {
  const guest = await StandInGuest.running(t)
  t.ok(existsSync(guest.root.log))
  await guest.call('virDomainDestroyFlags', { flags: ['VIR_DOMAIN_DESTROY_REMOVE_LOGS'] })
  t.notOk(existsSync(guest.root.log))
})

t.test('what a guest was in its run is gone with it', async t => {
  const guest = await StandInGuest.running(t, { persistent: true })
  await guest.call('virDomainSetMetadata', { type: 1, metadata: 'of this run', flags: ['VIR_DOMAIN_AFFECT_LIVE'] })
  await guest.call('virDomainQemuMonitorCommand', { cmd: '{"execute": "query-status"}' })
  t.same((await guest.call('virDomainGetMessages')).msgs.length, 1)
  await guest.call('virDomainDestroy')
  t.equal(
    await guest.failureOf('virDomainGetMetadata', { type: 1 }),
    'VIR_ERR_NO_DOMAIN_METADATA VIR_FROM_DOMAIN: metadata not found: Requested metadata element is not present'
  )
  t.same((await guest.call('virDomainGetMessages')).msgs, [])
  t.notMatch((await guest.call('virDomainGetXMLDesc')).xml, /alias/, 'aliases are of a run')
})
