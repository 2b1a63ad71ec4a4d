// What may be asked of a guest in each of its states, and what of it reaches QEMU.
import t, { type Test } from 'tap'
import { failureOf, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Order, refuses, silent } from '../../../helper/stand-in-qemu.ts'

const invalid = (what: string, from = 'VIR_FROM_QEMU') =>
  `VIR_ERR_OPERATION_INVALID ${from}: Requested operation is not valid: ${what}`
const OFF = invalid('domain is not running', 'VIR_FROM_DOMAIN')
const NOT_RUNNING = invalid('domain is not running')
const ASLEEP = invalid('domain is pmsuspended')

/** Guests in each state, made by what makes them so. */
const STATES: Record<string, (t: Test) => Promise<StandInGuest>> = {
  RUNNING: t => StandInGuest.running(t),
  PAUSED: async t => {
    const guest = await StandInGuest.running(t)
    await guest.call('virDomainSuspend')
    return guest
  },
  PMSUSPENDED: async t => {
    const guest = await StandInGuest.running(t)
    guest.qemu.peer.event('SUSPEND')
    await guest.untilState('PMSUSPENDED')
    return guest
  },
  CRASHED: async t => {
    const guest = await StandInGuest.running(t, { outside: '<on_crash>preserve</on_crash>' })
    guest.qemu.machine.status = 'guest-panicked'
    guest.qemu.peer.event('STOP')
    guest.qemu.peer.event('GUEST_PANICKED', { action: 'pause' })
    await guest.untilState('CRASHED')
    return guest
  },
  SHUTOFF: t => StandInGuest.make(t, { persistent: true })
}

/** Of each call in each state: the command QEMU is told and the state it leaves, or the error. */
const MATRIX: Record<string, Record<string, [command: string, state: string] | [state: string] | string>> = {
  virDomainSuspend: {
    RUNNING: ['stop', 'PAUSED USER'],
    PAUSED: ['PAUSED USER'],
    PMSUSPENDED: ASLEEP,
    CRASHED: ['stop', 'CRASHED PANICKED'],
    SHUTOFF: OFF
  },
  virDomainResume: {
    RUNNING: invalid('domain is already running'),
    PAUSED: ['cont', 'RUNNING UNPAUSED'],
    PMSUSPENDED: ASLEEP,
    CRASHED: ['cont', 'RUNNING UNPAUSED'],
    SHUTOFF: OFF
  },
  virDomainReset: {
    RUNNING: ['system_reset', 'RUNNING BOOTED'],
    PAUSED: ['system_reset', 'PAUSED USER'],
    PMSUSPENDED: ['system_reset', 'PMSUSPENDED UNKNOWN'],
    CRASHED: ['system_reset', 'PAUSED CRASHED'],
    SHUTOFF: OFF
  },
  virDomainShutdown: {
    RUNNING: ['system_powerdown', 'RUNNING BOOTED'],
    PAUSED: NOT_RUNNING,
    PMSUSPENDED: NOT_RUNNING,
    CRASHED: NOT_RUNNING,
    SHUTOFF: NOT_RUNNING
  },
  virDomainReboot: {
    RUNNING: ['system_powerdown', 'RUNNING BOOTED'],
    PAUSED: ['system_powerdown', 'PAUSED USER'],
    PMSUSPENDED: ['system_powerdown', 'PMSUSPENDED UNKNOWN'],
    CRASHED: ['system_powerdown', 'CRASHED PANICKED'],
    SHUTOFF: OFF
  },
  virDomainInjectNMI: {
    RUNNING: ['inject-nmi', 'RUNNING BOOTED'],
    PAUSED: ['inject-nmi', 'PAUSED USER'],
    PMSUSPENDED: ['inject-nmi', 'PMSUSPENDED UNKNOWN'],
    CRASHED: ['inject-nmi', 'CRASHED PANICKED'],
    SHUTOFF: OFF
  },
  virDomainDestroy: {
    RUNNING: ['SHUTOFF DESTROYED'],
    PAUSED: ['SHUTOFF DESTROYED'],
    PMSUSPENDED: ['SHUTOFF DESTROYED'],
    CRASHED: ['SHUTOFF DESTROYED'],
    SHUTOFF: OFF
  },
  virDomainCreate: {
    RUNNING: invalid('domain is already running'),
    PAUSED: invalid('domain is already running'),
    PMSUSPENDED: invalid('domain is already running'),
    CRASHED: invalid('domain is already running'),
    SHUTOFF: ['RUNNING BOOTED']
  }
}

for (const [api, row] of Object.entries(MATRIX)) {
  t.test(api, async t => {
    for (const [state, expected] of Object.entries(row)) {
      const guest = await STATES[state]!(t)
      const before = await guest.state()
      guest.forget()
      const failure = await guest.failureOf(api)
      if (typeof expected === 'string') {
        t.equal(failure, expected, state)
        t.same(guest.qemu.peer.commands, [], 'QEMU is told nothing')
        t.equal(await guest.state(), before)
      } else {
        t.equal(failure, '', state)
        t.equal(await guest.state(), expected.at(-1), state)
        if (expected.length > 1) t.same(guest.qemu.peer.commands, [expected[0]], state)
      }
      await guest.end()
    }
  })
}

t.test('a start that fails leaves its guest as it was', async t => {
  const guest = await StandInGuest.make(t, { persistent: true, answers: { cont: refuses('no') } })
  for (const api of ['virDomainCreate', 'virDomainCreateWithFlags']) {
    t.match(await guest.failureOf(api), /'cont': no$/)
    t.equal(await guest.state(), 'SHUTOFF FAILED')
    t.equal((await guest.call('virDomainIsPersistent')).persistent, 1)
    t.same(guest.leftovers, ['domain.xml'])
  }
  guest.qemu.behave()
  t.equal(await guest.failureOf('virDomainCreateWithFlags', { flags: ['VIR_DOMAIN_START_PAUSED'] }), '')
  t.equal(await guest.state(), 'PAUSED USER')
  t.notOk((await guest.status())?.autoDestroy)
})

t.test('auto-destroy is kept for who takes the guest over', async t => {
  const guest = await StandInGuest.make(t, { persistent: true })
  const connection = new AbortController().signal
  await guest.call('virDomainCreateWithFlags', { flags: ['VIR_DOMAIN_START_AUTODESTROY'] }, connection)
  t.equal((await guest.status())?.autoDestroy, true)
})

t.test('calls that change the guest are done one after the other', async t => {
  const guest = await StandInGuest.running(t, { answers: { stop: silent } })
  const { peer } = guest.qemu
  const done: string[] = []
  const calls = ['virDomainSuspend', 'virDomainResume', 'virDomainInjectNMI'].map(api =>
    guest.call(api).then(() => done.push(api))
  )
  const order = await peer.told('stop')
  t.same(peer.commands, ['stop'])
  t.match(await guest.call('virDomainGetControlInfo'), { state: 2 })
  order.peer.event('STOP')
  order.reply()
  await Promise.all(calls)
  t.same(peer.commands, ['stop', 'cont', 'inject-nmi'])
  t.same(done, ['virDomainSuspend', 'virDomainResume', 'virDomainInjectNMI'])
})

t.test('a client that does not wait any longer', async t => {
  const guest = await StandInGuest.running(t, { answers: { stop: silent } })
  const controller = new AbortController()
  const holder = guest.failureOf('virDomainSuspend')
  const order = await guest.qemu.peer.told('stop')
  const waiting = failureOf(() => guest.call('virDomainInjectNMI', {}, controller.signal))
  controller.abort()
  t.match(await waiting, /^VIR_ERR_OPERATION_ABORTED /)
  order.reply()
  t.equal(await holder, '')
  t.same(guest.qemu.peer.commands, ['stop'], 'what nobody waits for is not done')
})

t.test('what happens while QEMU is asked to stop the guest', async t => {
  const during: [what: string, act: (order: Order, guest: StandInGuest) => unknown, state: string, error: RegExp][] = [
    ['it is stopped by something else', order => order.peer.event('STOP'), 'PAUSED USER', /^$/],
    [
      'it is destroyed',
      (_, guest) => guest.call('virDomainDestroy'),
      'SHUTOFF DESTROYED',
      /^VIR_ERR_(INTERNAL_ERROR|OPERATION_INVALID) /
    ],
    [
      'it shuts down',
      async (order, guest) => {
        const ended = guest.ended()
        order.peer.event('SHUTDOWN', { guest: true })
        await ended
      },
      'SHUTOFF SHUTDOWN',
      /^VIR_ERR_(INTERNAL_ERROR|OPERATION_INVALID) /
    ]
  ]
  for (const [what, act, state, error] of during) {
    const guest = await StandInGuest.running(t, { answers: { stop: silent } })
    const suspended = guest.failureOf('virDomainSuspend')
    const order = await guest.qemu.peer.told('stop')
    await act(order, guest)
    order.reply()
    t.match(await suspended, error, what)
    await guest.untilState(state)
  }
})
