// A monitor that is lost while the guest runs: QEMU is gone, or only the connection is.
import t from 'tap'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { refuses, silent } from '../../../helper/stand-in-qemu.ts'

const LOST = 'monitor connection lost, connecting again'
const GIVEN_UP = 'monitor cannot be reached; the guest is left alone'
const NOT_CONNECTED = 'VIR_ERR_OPERATION_FAILED VIR_FROM_QEMU: operation failed: the QEMU monitor is not connected'
const { control, ok, error } = { control: 'virDomainGetControlInfo', ok: 0, error: 3 }

t.test('the connection is lost, and made again', async t => {
  const guest = await StandInGuest.running(t)
  const { peer, machine } = guest.qemu
  const before = peer.connections
  machine.status = 'paused'
  peer.hangUp()
  await peer.connected(before + 1)
  await guest.untilState('PAUSED UNKNOWN')
  t.same(
    guest.logged.map(({ message }) => message),
    [LOST]
  )
  t.equal(await guest.failureOf('virDomainResume'), '')
  t.equal(await guest.state(), 'RUNNING UNPAUSED')
  peer.event('STOP')
  await guest.untilState('PAUSED')
  t.same(guest.lifecycle, ['RESUMED UNPAUSED', 'SUSPENDED PAUSED'], 'its events are heard')
})

t.test('what waits for QEMU when the connection is lost', async t => {
  const guest = await StandInGuest.running(t, { answers: { stop: silent } })
  const { peer } = guest.qemu
  const before = peer.connections
  const suspended = guest.failureOf('virDomainSuspend')
  await peer.told('stop')
  peer.hangUp()
  t.equal(await suspended, 'VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: End of file from qemu monitor')
  t.equal(await guest.failureOf('virDomainInjectNMI'), NOT_CONNECTED, 'who comes meanwhile')
  t.equal((await guest.call(control)).state, error)
  t.equal(await guest.state(), 'RUNNING BOOTED', 'calls that only read are answered')
  delete guest.qemu.answers.stop
  await peer.connected(before + 1)
  await peer.told('query-status')
  t.equal((await guest.call(control)).state, ok)
  t.equal(await guest.failureOf('virDomainSuspend'), '')
})

t.test('a connection that cannot be made again leaves the guest alone', async t => {
  const ways: [what: string, hinder: (guest: StandInGuest) => void][] = [
    [
      'garbage',
      ({ qemu }) => {
        qemu.peer.greeting = 'hello\r\n'
      }
    ],
    [
      'no negotiation',
      ({ qemu }) => {
        qemu.answers.qmp_capabilities = refuses('no')
      }
    ]
  ]
  for (const [what, hinder] of ways) {
    const guest = await StandInGuest.running(t)
    hinder(guest)
    guest.qemu.peer.hangUp()
    await guest.untilLogged(GIVEN_UP)
    t.ok(guest.qemu.isAlive, what)
    t.equal(await guest.state(), 'RUNNING BOOTED')
    t.equal((await guest.call(control)).state, error)
    t.equal(await guest.failureOf('virDomainInjectNMI'), NOT_CONNECTED)
    t.equal(await guest.failureOf('virDomainDestroy'), '', `${what}: it can be destroyed`)
    t.same(guest.leftovers, [])
  }
})

t.test('the connection cannot tell what happened', async t => {
  const guest = await StandInGuest.running(t, { answers: { 'query-status': refuses('no') } })
  guest.qemu.peer.hangUp()
  await guest.untilLogged(GIVEN_UP)
  t.equal(await guest.state(), 'RUNNING BOOTED', 'what was known is believed')
  t.equal(await guest.failureOf('virDomainSuspend'), '', 'and QEMU can be told')
})

t.test('listeners hear of a connection that breaks, not of one that ends', async t => {
  const ways: [what: string, part: (guest: StandInGuest) => void, isTold: boolean][] = [
    ['it ends', ({ qemu }) => qemu.peer.hangUp(), false],
    ['it is garbled', ({ qemu }) => qemu.peer.write('hello\r\n'), true],
    ['it answers what nobody asked', ({ qemu }) => qemu.peer.send({ id: 1 }), true]
  ]
  for (const [what, part, isTold] of ways) {
    const guest = await StandInGuest.running(t)
    const { connections } = guest.qemu.peer
    part(guest)
    await guest.qemu.peer.connected(connections + 1)
    await guest.untilLogged(LOST)
    t.same(guest.told, isTold ? [['CONTROL_ERROR', {}]] : [], what)
  }
})

const deaths: [what: string, die: (guest: StandInGuest) => unknown, state: string, events: string[]][] = [
  ['dies', ({ qemu }) => qemu.kill('SIGSEGV'), 'SHUTOFF CRASHED', ['STOPPED FAILED']],
  ['ends in order, unasked', ({ qemu }) => qemu.exit(0), 'SHUTOFF CRASHED', ['STOPPED FAILED']],
  [
    'closes its monitor, and then dies',
    ({ qemu }) => {
      qemu.peer.close()
      qemu.kill()
    },
    'SHUTOFF CRASHED',
    ['STOPPED FAILED']
  ],
  [
    'dies of being told to shut down',
    async guest => {
      guest.qemu.peer.event('SHUTDOWN', { guest: true, reason: 'guest-shutdown' })
      await guest.untilState('SHUTDOWN')
      guest.qemu.kill()
    },
    'SHUTOFF SHUTDOWN',
    ['SHUTDOWN GUEST', 'STOPPED SHUTDOWN']
  ]
]

for (const [what, die, state, events] of deaths) {
  t.test(`QEMU ${what}`, async t => {
    const guest = await StandInGuest.running(t, { ignoresTerm: true })
    const ended = guest.ended()
    await die(guest)
    t.match(await ended, { failed: state === 'SHUTOFF CRASHED' })
    t.equal(await guest.state(), state)
    t.same(guest.lifecycle, events)
    t.same(guest.leftovers, [])
    await guest.start()
    t.equal(await guest.state(), 'RUNNING BOOTED')
  })
}

t.test('the last words of a QEMU that died are in the log', async t => {
  const guest = await StandInGuest.running(t)
  const ended = guest.ended()
  guest.qemu.exit(1, 'qemu: hardware error')
  await ended
  t.match(guest.logged, [{ level: 'error', message: 'QEMU ended unexpectedly', qemu: /hardware error/ }])
  t.match(guest.logged.at(-1), { message: 'guest stopped', reason: 'VIR_DOMAIN_SHUTOFF_CRASHED' })
})
