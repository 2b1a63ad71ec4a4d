// Guests in trouble: what the definition wants done about a panic, a watchdog and failing disks, and what is done when
// QEMU fails at that, too.
import { readdirSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { dies, type Order, refuses } from '../../../helper/stand-in-qemu.ts'

/** A guest that has just panicked. */
async function panicked(t: Test, onCrash: string, data: object = {}): Promise<StandInGuest> {
  const guest = await StandInGuest.running(t, { outside: `<on_crash>${onCrash}</on_crash>` })
  guest.qemu.machine.status = 'guest-panicked'
  guest.qemu.peer.event('GUEST_PANICKED', { action: 'pause', ...data })
  guest.qemu.peer.event('STOP')
  return guest
}

/** QEMU makes a dump of the guest's memory. */
const dumps =
  (completed: object) =>
  (order: Order): void => {
    order.reply()
    order.peer.event('DUMP_COMPLETED', completed)
  }

t.test('on_crash', async t => {
  const preserved = await panicked(t, 'preserve')
  await preserved.untilState('CRASHED PANICKED')
  t.same(preserved.lifecycle, ['SUSPENDED PAUSED', 'CRASHED PANICKED'], 'stopped, and then crashed')
  t.ok(preserved.qemu.isAlive)
  t.equal(await preserved.failureOf('virDomainDestroy'), '')

  const destroyed = await panicked(t, 'destroy')
  t.match(await destroyed.ended(), { failed: true })
  t.equal(await destroyed.state(), 'SHUTOFF CRASHED')
  t.same(destroyed.lifecycle, ['SUSPENDED PAUSED', 'CRASHED PANICKED', 'STOPPED CRASHED'])
  t.same(destroyed.leftovers, [])

  const restarted = await panicked(t, 'restart')
  await restarted.untilState('RUNNING CRASHED')
  t.same(restarted.qemu.peer.commands, ['system_reset', 'cont'])
  t.equal(restarted.qemu.launches, 1)
})

t.test('on_crash with a dump', async t => {
  for (const [action, state] of [
    ['coredump-destroy', 'SHUTOFF CRASHED'],
    ['coredump-restart', 'RUNNING CRASHED']
  ] as const) {
    const guest = await StandInGuest.running(t, {
      outside: `<on_crash>${action}</on_crash>`,
      answers: { 'dump-guest-memory': dumps({ result: { status: 'completed', total: 1, completed: 1 } }) }
    })
    guest.qemu.machine.status = 'guest-panicked'
    guest.qemu.peer.event('GUEST_PANICKED', { action: 'pause' })
    guest.qemu.peer.event('STOP')
    await guest.untilState(state)
    const { args } = guest.qemu.peer.orders.find(({ command }) => command === 'dump-guest-memory')!
    const [file] = readdirSync(guest.root.dumpDir)
    t.match(file, /^1-t-stand-in-\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d$/)
    t.same(args, { paging: false, protocol: 'fd:dump', detach: true })
  }
})

t.test('a dump that fails leaves no file and a guest that can be looked at', async t => {
  const ways: [what: string, answer: (guest: StandInGuest) => unknown][] = [
    ['refused', () => refuses('no space')],
    ['failed', () => dumps({ result: { status: 'failed', total: 1, completed: 0 }, error: 'no space' })]
  ]
  for (const [what, answer] of ways) {
    const guest = await StandInGuest.running(t, { outside: '<on_crash>coredump-destroy</on_crash>' })
    guest.qemu.answers['dump-guest-memory'] = answer(guest)
    guest.qemu.machine.status = 'guest-panicked'
    guest.qemu.peer.event('STOP')
    guest.qemu.peer.event('GUEST_PANICKED', { action: 'pause' })
    await guest.untilLogged('QMP event handler failed')
    t.match(guest.logged.at(-1)?.reason, /no space/, what)
    t.equal(await guest.state(), 'CRASHED PANICKED', what)
    t.same(readdirSync(guest.root.dumpDir), [], what)
    t.equal(await guest.failureOf('virDomainInjectNMI'), '', `${what}: no job is left`)
  }
  const guest = await StandInGuest.running(t, { outside: '<on_crash>coredump-destroy</on_crash>' })
  guest.qemu.answers['dump-guest-memory'] = dies(guest.qemu)
  const ended = guest.ended()
  guest.qemu.peer.event('STOP')
  guest.qemu.peer.event('GUEST_PANICKED', { action: 'pause' })
  await ended
  t.equal(await guest.state(), 'SHUTOFF CRASHED')
  await guest.untilLogged('QMP event handler failed')
  t.same(readdirSync(guest.root.dumpDir), [])
})

t.test('what a guest said when it panicked is in the log', async t => {
  const said: [info: object, line: string][] = [
    [
      { type: 'hyper-v', arg1: 1, arg2: 2n ** 64n - 1n, arg3: 0, arg4: 16, arg5: 255 },
      "panic hyper-v: arg1='0x1', arg2='0xffffffffffffffff', arg3='0x0', arg4='0x10', arg5='0xff'"
    ],
    [
      { type: 's390', core: 3, 'psw-mask': 1, 'psw-addr': 255, reason: 'disabled-wait' },
      "panic s390: core='3' psw-mask='0x0000000000000001' psw-addr='0x00000000000000ff' reason='disabled-wait'"
    ]
  ]
  for (const [info, line] of said) {
    const guest = await panicked(t, 'preserve', { info })
    await guest.untilState('CRASHED')
    t.ok(readFileSync(guest.root.log, 'utf8').includes(line), line)
  }
  const nonsense = await panicked(t, 'preserve', { info: { type: 'hyper-v', arg1: 'x' } })
  await nonsense.untilLogged('QMP event handler failed')
  t.ok(nonsense.qemu.isAlive)
})

t.test('watchdogs', async t => {
  const actions: [action: string, number: number, state: string, lifecycle: string[]][] = [
    ['none', 0, 'RUNNING BOOTED', []],
    ['pause', 1, 'PAUSED WATCHDOG', ['SUSPENDED WATCHDOG']],
    ['reset', 2, 'RUNNING BOOTED', []],
    ['poweroff', 3, 'RUNNING BOOTED', []],
    ['shutdown', 4, 'RUNNING BOOTED', []],
    ['debug', 5, 'RUNNING BOOTED', []],
    ['inject-nmi', 6, 'RUNNING BOOTED', []],
    ['of another QEMU', 0, 'RUNNING BOOTED', []]
  ]
  for (const [action, number, state, lifecycle] of actions) {
    const guest = await StandInGuest.running(t)
    guest.qemu.peer.event('WATCHDOG', { action })
    if (action === 'pause') guest.qemu.peer.event('STOP')
    guest.qemu.peer.event('RTC_CHANGE', { offset: 0 })
    await guest.untilTold('RTC_CHANGE')
    t.same(guest.told[0], ['WATCHDOG', { action: number }], action)
    t.equal(await guest.state(), state, action)
    t.same(guest.lifecycle, lifecycle, 'the stop that follows has nothing to add')
  }
})

t.test('a watchdog that makes a dump lets the guest go on, with a dump or without', async t => {
  const WATCHDOG = "<watchdog model='i6300esb' action='dump'/>"
  for (const [answer, files, commands] of [
    [dumps({ result: { status: 'completed', total: 1, completed: 1 } }), 1, ['getfd', 'dump-guest-memory', 'cont']],
    [refuses('no space'), 0, ['getfd', 'dump-guest-memory', 'closefd', 'cont']]
  ] as const) {
    const guest = await StandInGuest.running(t, { devices: WATCHDOG, answers: { 'dump-guest-memory': answer } })
    guest.qemu.machine.status = 'watchdog'
    guest.qemu.peer.event('WATCHDOG', { action: 'pause' })
    guest.qemu.peer.event('STOP')
    await guest.untilState('RUNNING UNPAUSED')
    t.same(guest.qemu.peer.commands, commands)
    t.equal(readdirSync(guest.root.dumpDir).length, files)
    t.same(guest.lifecycle, ['SUSPENDED WATCHDOG', 'RESUMED UNPAUSED'])
  }
})

t.test('failing disks', async t => {
  const guest = await StandInGuest.running(t, {
    files: { 'disk.img': '' },
    devices: `<disk type='file' device='disk'><source file='@/disk.img'/><target dev='vda' bus='virtio'/></disk>`
  })
  const path = `${guest.dir}/disk.img`
  const ours = { srcPath: path, devAlias: 'virtio-disk0' }
  const unknown = { srcPath: '', devAlias: '' }
  const cases: [data: object, fields: object, reason: string][] = [
    [{ device: 'drive-virtio-disk0', action: 'report', nospace: false }, { ...ours, action: 2 }, ''],
    [{ device: '', 'node-name': 'libvirt-1-format', action: 'ignore' }, { ...ours, action: 0 }, ''],
    [
      { device: '', 'node-name': 'libvirt-1-storage', action: 'report', nospace: true },
      { ...ours, action: 2 },
      'enospc'
    ],
    [{ device: 'drive-virtio-disk7', action: 'report' }, { ...unknown, action: 2 }, ''],
    [{ 'node-name': 'mine', action: 'new' }, { ...unknown, action: 0 }, ''],
    [{}, { ...unknown, action: 0 }, ''],
    [{ device: '', 'qom-path': '/machine/peripheral/virtio-disk0/virtio-backend' }, { ...ours, action: 0 }, ''],
    [
      { 'node-name': 'libvirt-1-format', action: 'report', nospace: false, reason: 'Input/output error' },
      { ...ours, action: 2 },
      'message'
    ],
    [{ 'node-name': 'mine', reason: 'Input/output error' }, { ...unknown, action: 0 }, 'message']
  ]
  for (const [data, fields, reason] of cases) {
    guest.forget()
    guest.qemu.peer.event('BLOCK_IO_ERROR', data)
    await guest.untilTold('IO_ERROR_REASON')
    t.same(guest.told, [
      ['IO_ERROR', fields],
      ['IO_ERROR_REASON', { ...fields, reason }]
    ])
    t.equal(await guest.state(), 'RUNNING BOOTED')
  }
  const VIR_DOMAIN_MESSAGE_IOERRORS = 4
  const { msgs } = await guest.call('virDomainGetMessages', { flags: VIR_DOMAIN_MESSAGE_IOERRORS })
  t.equal(msgs.length, 1, 'the last one of an image')
  t.match(
    msgs[0],
    new RegExp(
      `^I/O error: disk='vda', index='1', path='${path}', timestamp='[-0-9]+ [:.0-9]+\\+0000', message='Input/output error'$`
    )
  )
  guest.forget()
  guest.qemu.peer.event('BLOCK_IO_ERROR', { device: 'drive-virtio-disk0', action: 'stop', nospace: true })
  guest.qemu.peer.event('STOP')
  await guest.untilState('PAUSED IOERROR')
  t.same(guest.lifecycle, ['SUSPENDED IOERROR'])
})
