// The guest's CPUs on and off, and what a guest that is down is made to do.
import t from 'tap'
import { virDomainPausedReason, virDomainRunningReason } from '../../../../src/conf/enums.ts'
import { resumedDetail, suspendedDetail } from '../../../../src/drivers/qemu/process/cpus.ts'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { dies, type Order, refuses, silent } from '../../../helper/stand-in-qemu.ts'

const refused = (command: string) =>
  `VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: unable to execute QEMU command '${command}': no`

t.test('what is told of why a guest is paused or runs', async t => {
  const suspended = Object.entries(virDomainPausedReason).map(([name, reason]) => [name, suspendedDetail(reason)])
  t.same(Object.fromEntries(suspended.filter(([, detail]) => detail !== 0)), {
    VIR_DOMAIN_PAUSED_MIGRATION: 1,
    VIR_DOMAIN_PAUSED_FROM_SNAPSHOT: 5,
    VIR_DOMAIN_PAUSED_POSTCOPY: 7,
    VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: 8,
    VIR_DOMAIN_PAUSED_API_ERROR: 6
  })
  const resumed = Object.entries(virDomainRunningReason).map(([name, reason]) => [name, resumedDetail(reason)])
  t.same(Object.fromEntries(resumed.filter(([, detail]) => detail !== 0)), {
    VIR_DOMAIN_RUNNING_MIGRATED: 1,
    VIR_DOMAIN_RUNNING_RESTORED: 2,
    VIR_DOMAIN_RUNNING_FROM_SNAPSHOT: 2,
    VIR_DOMAIN_RUNNING_MIGRATION_CANCELED: 1,
    VIR_DOMAIN_RUNNING_POSTCOPY: 3,
    VIR_DOMAIN_RUNNING_POSTCOPY_FAILED: 4
  })
})

t.test('a stop that fails gives the next one no reason', async t => {
  const guest = await StandInGuest.running(t, { answers: { stop: refuses('no') } })
  t.equal(await guest.failureOf('virDomainSuspend'), refused('stop'))
  t.equal(await guest.state(), 'RUNNING BOOTED')
  guest.qemu.peer.event('STOP')
  await guest.untilState('PAUSED')
  t.equal(await guest.state(), 'PAUSED UNKNOWN', 'this one was not ours')
  guest.qemu.answers.cont = refuses('no')
  t.equal(await guest.failureOf('virDomainResume'), refused('cont'))
  t.equal(await guest.state(), 'PAUSED UNKNOWN')
})

t.test('the answer may come before the event', async t => {
  const late = (event: string) => (order: Order) => {
    order.reply()
    order.peer.event(event)
  }
  const guest = await StandInGuest.running(t, { answers: { stop: late('STOP') } })
  guest.qemu.answers.cont = late('RESUME')
  t.equal(await guest.failureOf('virDomainSuspend'), '')
  await guest.untilState('PAUSED')
  t.equal(await guest.failureOf('virDomainResume'), '')
  await guest.untilState('RUNNING')
})

/** A guest that says it is down. */
async function down(t: Parameters<typeof StandInGuest.running>[0], outside: string) {
  const guest = await StandInGuest.running(t, { outside })
  const shutDown = () => guest.qemu.peer.event('SHUTDOWN', { guest: true, reason: 'guest-shutdown' })
  return { guest, shutDown }
}

t.test('a guest that is down ends', async t => {
  const { guest, shutDown } = await down(t, '')
  const ended = guest.ended()
  shutDown()
  t.match(await ended, { failed: false })
  t.equal(await guest.state(), 'SHUTOFF SHUTDOWN')
  t.same(guest.lifecycle, ['SHUTDOWN GUEST', 'STOPPED SHUTDOWN'])
  t.same(guest.leftovers, [])
})

t.test('a guest whose shutdown is a reboot runs again in the same QEMU', async t => {
  const { guest, shutDown } = await down(t, '<on_poweroff>restart</on_poweroff>')
  for (let times = 0; times < 2; times++) {
    guest.forget()
    guest.qemu.peer.event('STOP')
    guest.qemu.machine.status = 'paused'
    shutDown()
    await guest.qemu.peer.told('cont')
    t.same(guest.qemu.peer.commands, ['system_reset', 'cont'])
    t.equal(guest.qemu.launches, 1)
  }
})

t.test('a reboot by shutdown that fails ends the guest', async t => {
  const ways: [what: string, command: string, answer: (guest: StandInGuest) => unknown, state: string][] = [
    ['refused', 'system_reset', () => refuses('no'), 'SHUTOFF FAILED'],
    ['refused to go on', 'cont', () => refuses('no'), 'SHUTOFF FAILED'],
    ['ended', 'system_reset', ({ qemu }) => dies(qemu), 'SHUTOFF']
  ]
  for (const [what, command, answer, state] of ways) {
    const { guest, shutDown } = await down(t, '')
    t.equal(await guest.failureOf('virDomainReboot'), '')
    t.equal((await guest.status())?.fakeReboot, true)
    guest.qemu.answers[command] = answer(guest)
    const ended = guest.ended()
    shutDown()
    await ended
    t.match(await guest.state(), new RegExp(`^${state}`), what)
    t.same(guest.leftovers, [])
    guest.qemu.behave()
    await guest.start()
    t.notOk((await guest.status())?.fakeReboot, 'the next run has nothing of it')
    await guest.end()
  }
})

t.test('a reboot by shutdown waits for the job there is', async t => {
  const { guest, shutDown } = await down(t, '')
  await guest.call('virDomainReboot')
  guest.qemu.answers['inject-nmi'] = silent
  const nmi = guest.failureOf('virDomainInjectNMI')
  const order = await guest.qemu.peer.told('inject-nmi')
  shutDown()
  guest.qemu.peer.event('RTC_CHANGE', { offset: 1 })
  await guest.untilTold('RTC_CHANGE')
  t.notOk(guest.qemu.peer.commands.includes('system_reset'))
  order.reply()
  t.equal(await nmi, '')
  await guest.qemu.peer.told('system_reset')
})
