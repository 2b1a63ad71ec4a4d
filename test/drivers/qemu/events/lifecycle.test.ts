// Whether the guest runs, as QEMU tells it unasked: the state, what listeners hear, and what is saved.
import t from 'tap'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Order, refuses } from '../../../helper/stand-in-qemu.ts'

type Said = [event: string, data?: object]

/** What is told when QEMU says these to a guest that runs; the last is always heard after them. */
const CASES: Record<string, { said: Said[]; state: string; lifecycle?: string[]; others?: string[] }> = {
  'a stop nobody asked for': { said: [['STOP']], state: 'PAUSED UNKNOWN', lifecycle: ['SUSPENDED PAUSED'] },
  'two stops': { said: [['STOP'], ['STOP']], state: 'PAUSED UNKNOWN', lifecycle: ['SUSPENDED PAUSED'] },
  'a resume of what runs': { said: [['RESUME']], state: 'RUNNING BOOTED' },
  'a stop and a resume': {
    said: [['STOP'], ['RESUME']],
    state: 'RUNNING UNPAUSED',
    lifecycle: ['SUSPENDED PAUSED', 'RESUMED UNPAUSED']
  },
  'sleep to memory': {
    said: [['SUSPEND']],
    state: 'PMSUSPENDED UNKNOWN',
    lifecycle: ['PMSUSPENDED MEMORY'],
    others: ['PMSUSPEND']
  },
  'sleep to disk': {
    said: [['SUSPEND_DISK']],
    state: 'PMSUSPENDED UNKNOWN',
    lifecycle: ['PMSUSPENDED DISK'],
    others: ['PMSUSPEND_DISK']
  },
  'sleep and a wakeup': {
    said: [['SUSPEND'], ['WAKEUP']],
    state: 'RUNNING WAKEUP',
    lifecycle: ['PMSUSPENDED MEMORY', 'STARTED WAKEUP'],
    others: ['PMSUSPEND', 'PMWAKEUP']
  },
  'a wakeup of what is awake': { said: [['WAKEUP']], state: 'RUNNING BOOTED', others: ['PMWAKEUP'] },
  'sleep of a guest that stands still': {
    said: [['STOP'], ['SUSPEND']],
    state: 'PAUSED UNKNOWN',
    lifecycle: ['SUSPENDED PAUSED'],
    others: ['PMSUSPEND']
  },
  'a stop in its sleep': {
    said: [['SUSPEND'], ['STOP']],
    state: 'PMSUSPENDED UNKNOWN',
    lifecycle: ['PMSUSPENDED MEMORY'],
    others: ['PMSUSPEND']
  },
  'a reset': { said: [['RESET', { guest: true, reason: 'guest-reset' }]], state: 'RUNNING BOOTED', others: ['REBOOT'] },
  'a pressed button': { said: [['POWERDOWN']], state: 'RUNNING BOOTED' }
}

/** Comes last, and says that all before has been heard. */
const HEARD: Said = ['RTC_CHANGE', { offset: 0 }]

for (const [what, { said, state, lifecycle = [], others = [] }] of Object.entries(CASES)) {
  t.test(what, async t => {
    const guest = await StandInGuest.running(t)
    for (const [event, data] of [...said, HEARD]) guest.qemu.peer.event(event, data)
    await guest.untilTold('RTC_CHANGE')
    t.equal(await guest.state(), state)
    t.same(guest.lifecycle, lifecycle)
    const told = guest.told.map(([event]) => event)
    t.same(
      told.filter(event => event !== 'LIFECYCLE' && event !== 'RTC_CHANGE'),
      others
    )
    t.same([...new Set(guest.events.map(({ timestampUs }) => timestampUs))], [1_700_000_000_000_042], "by QEMU's clock")
    const [saved, known] = [await guest.status(), await guest.call('virDomainGetState')]
    t.match(saved, known, 'it is saved')
  })
}

t.test('who shut the guest down', async t => {
  for (const [data, detail] of [
    [{ guest: true, reason: 'guest-shutdown' }, 'GUEST'],
    [{ guest: false, reason: 'host-qmp-system-powerdown' }, 'HOST'],
    [{}, 'FINISHED']
  ] as const) {
    const guest = await StandInGuest.running(t)
    const ended = guest.ended()
    guest.qemu.peer.event('SHUTDOWN', data)
    guest.qemu.peer.event('SHUTDOWN', data)
    t.match(await ended, { failed: false })
    t.same(guest.lifecycle, [`SHUTDOWN ${detail}`, 'STOPPED SHUTDOWN'], 'once')
    t.equal(await guest.state(), 'SHUTOFF SHUTDOWN')
  }
})

t.test('what a QEMU says of itself while it starts is of no interest', async t => {
  const guest = await StandInGuest.make(t, {
    answers: {
      'query-cpus-fast': (order: Order) => {
        for (const event of ['RESET', 'SHUTDOWN']) order.peer.event(event, { guest: false })
        order.reply([])
      }
    }
  })
  await guest.start()
  t.equal(await guest.state(), 'RUNNING BOOTED')
  t.same(
    guest.told.map(([event]) => event),
    ['LIFECYCLE', 'LIFECYCLE']
  )
})

t.test('a reset brings drives up to date, and a reboot that was asked for is over with it', async t => {
  const guest = await StandInGuest.running(t, {
    devices: `<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>`
  })
  await guest.call('virDomainReboot')
  t.equal((await guest.status())?.fakeReboot, true)
  const drive = { qdev: 'ide0-1-0', device: '', removable: true, locked: false, type: 'unknown' }
  guest.qemu.answers['query-block'] = [{ ...drive, tray_open: true }]
  guest.qemu.peer.event('RESET', { guest: true, reason: 'guest-reset' })
  await guest.untilTold('TRAY_CHANGE')
  t.equal((await guest.status())?.fakeReboot, undefined)
  t.match((await guest.call('virDomainGetXMLDesc')).xml, /tray=["']open["']/)
  guest.qemu.answers['query-block'] = refuses('no')
  guest.qemu.peer.event('RESET', { guest: true, reason: 'guest-reset' })
  await guest.untilLogged('QMP event handler failed')
  t.equal(await guest.state(), 'RUNNING BOOTED')
})
