// A start that fails at any of its steps says why, leaves nothing, and may be tried again.
import t, { type Test } from 'tap'
import { Clock } from '../../../helper/clock.ts'
import { eightAtATime, failureOf, type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { dies, hangsUp, refuses, says, silent } from '../../../helper/stand-in-qemu.ts'

/** How a lost monitor shows: what was on its way when QEMU went decides. */
const LOST = [
  'internal error: End of file from qemu monitor',
  'internal error: Unable to read from monitor: (read ECONNRESET|write EPIPE)',
  'operation failed: the QEMU monitor is not connected'
].join('|')

/** A guest whose start tells QEMU everything a start can. */
const EVERYTHING: GuestParts = {
  files: { 'disk.img': '' },
  outside: `<vcpu current='1'>2</vcpu><vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/>
    <vcpu id='1' enabled='yes' hotpluggable='yes'/></vcpus><on_reboot>destroy</on_reboot>
    <cpu mode='custom' match='exact'><model>qemu64</model></cpu>`,
  devices: `<disk type='file' device='disk'><source file='@/disk.img'/><target dev='vda' bus='virtio'/>
      <iotune><read_iops_sec>100</read_iops_sec></iotune></disk>
    <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
    <interface type='user'><link state='down'/></interface>
    <graphics type='vnc' passwd='secret'><listen type='socket' socket='@/vnc.sock'/></graphics>`
}

/** Fails if the guest is anything but shut off, as if it had not been started. */
async function nothingIsLeft(t: Test, guest: StandInGuest, what: string): Promise<void> {
  await guest.qemu.gone()
  t.same(
    {
      left: guest.leftovers,
      state: await guest.state(),
      id: (await guest.call('virDomainGetID')).id,
      told: guest.lifecycle,
      needsRunning: await guest.failureOf('virDomainSuspend')
    },
    {
      left: [],
      state: 'SHUTOFF FAILED',
      id: -1,
      told: [],
      needsRunning: 'VIR_ERR_OPERATION_INVALID VIR_FROM_DOMAIN: Requested operation is not valid: domain is not running'
    },
    what
  )
}

/** Starts the guest again, unhindered. */
async function startsAgain(t: Test, guest: StandInGuest, what: string): Promise<void> {
  guest.qemu.behave()
  t.equal(await failureOf(() => guest.start()), '', `${what}, and then it starts`)
  t.equal(await guest.state(), 'RUNNING BOOTED')
}

/** Commands a start can do without, and what is logged instead. */
const SPARED: Record<string, string | undefined> = { 'qom-set': 'no balloon statistics' }

t.test('each command of a start, as it fails', async t => {
  const whole = await StandInGuest.make(t, EVERYTHING)
  await whole.start()
  const commands = [...new Set(whole.qemu.peer.commands)]
  t.same(commands.sort(), [
    'block_set_io_throttle',
    'cont',
    'device_add',
    'expire_password',
    'qom-get',
    'qom-set',
    'query-block',
    'query-chardev',
    'query-cpus-fast',
    'query-hotpluggable-cpus',
    'set-action',
    'set_link',
    'set_password'
  ])
  const exited = 'process exited while connecting to monitor:'
  const ways: [way: string, answer: (guest: StandInGuest) => unknown, error: (command: string) => RegExp][] = [
    [
      'is refused',
      () => refuses('no room'),
      command => new RegExp(`unable to execute QEMU command '${command}': no room$`)
    ],
    ['ends QEMU', ({ qemu }) => dies(qemu), () => new RegExp(`${exited} (${LOST})$`)],
    [
      'ends QEMU with words',
      ({ qemu }) => dies(qemu, [1, 'no room at the inn']),
      () => new RegExp(`${exited} no room at the inn$`)
    ],
    ['closes the monitor', () => hangsUp, () => new RegExp(`: (${LOST})$`)],
    ['is answered with nonsense', () => says('hello\n'), () => /cannot parse json hello: not a QEMU monitor message$/]
  ]
  const cases = ways.flatMap(way => commands.map(command => ({ way, command })))
  await eightAtATime(cases, async ({ way: [way, answer, error], command }) => {
    const what = `${command} ${way}`
    const guest = await StandInGuest.make(t, EVERYTHING)
    guest.qemu.answers[command] = answer(guest)
    const said = await failureOf(() => guest.start())
    const instead = way === 'is refused' ? SPARED[command] : undefined
    t.match(said, instead === undefined ? error(command) : /^$/, what)
    if (instead === undefined) {
      t.match(said, /^VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: /)
      await nothingIsLeft(t, guest, what)
      if (way === 'is refused' || way === 'ends QEMU') await startsAgain(t, guest, what)
    } else t.ok(guest.logged.some(({ level, message }) => level === 'warn' && message === instead))
    await guest.end()
  })
})

t.test('a command that is not answered', async t => {
  const clock = new Clock(t)
  for (const command of ['query-hotpluggable-cpus', 'set_password', 'cont']) {
    const guest = await StandInGuest.make(t, { ...EVERYTHING, answers: { [command]: silent } })
    const started = failureOf(() => guest.start())
    await guest.qemu.peer.told(command)
    clock.pass(30_000)
    t.match(
      await started,
      new RegExp(`^VIR_ERR_OPERATION_TIMEOUT .* QEMU monitor did not answer '${command}' within \\d+ ms`)
    )
    await nothingIsLeft(t, guest, command)
    await startsAgain(t, guest, command)
    await guest.end()
  }
})

t.test('a QEMU that says nothing at all', async t => {
  const clock = new Clock(t)
  const unanswered = (what: string) =>
    new RegExp(`QEMU monitor (did not answer '${what}' within|socket did not show up)`)
  const ways: [what: string, hinder: (guest: StandInGuest) => Promise<void>, error: RegExp][] = [
    [
      'no monitor',
      async ({ qemu }) => {
        qemu.onLaunch = () => {}
        await qemu.launched()
        clock.pass(30_000)
      },
      /QEMU monitor socket did not show up$/
    ],
    [
      'no greeting',
      async ({ qemu }) => {
        qemu.peer.greeting = ''
        await qemu.peer.connected()
        await clock.comes()
      },
      unanswered('greeting')
    ],
    [
      'no negotiation',
      async ({ qemu }) => {
        qemu.answers.qmp_capabilities = silent
        await qemu.peer.told('qmp_capabilities')
        await clock.comes()
      },
      unanswered('qmp_capabilities')
    ]
  ]
  for (const [what, hinder, error] of ways) {
    const guest = await StandInGuest.make(t)
    const started = failureOf(() => guest.start())
    await hinder(guest)
    const said = await started
    t.match(said, /^VIR_ERR_OPERATION_TIMEOUT VIR_FROM_QEMU: Timed out during operation: /, what)
    t.match(said, error, what)
    await nothingIsLeft(t, guest, what)
    await startsAgain(t, guest, what)
    await guest.end()
  }
})

t.test('a start that is cancelled', async t => {
  const at: [when: string, hinder: (guest: StandInGuest) => Promise<unknown>][] = [
    ['before it begins', async () => {}],
    [
      'while QEMU is asked',
      ({ qemu }) => {
        qemu.answers['query-cpus-fast'] = silent
        return qemu.peer.told('query-cpus-fast')
      }
    ],
    [
      'before there is a monitor',
      ({ qemu }) => {
        qemu.onLaunch = () => {}
        return qemu.launched()
      }
    ]
  ]
  for (const [when, hinder] of at) {
    const guest = await StandInGuest.make(t)
    const reached = hinder(guest)
    if (when === 'before it begins') guest.cancel('SIGTERM')
    const started = failureOf(() => guest.start())
    await reached
    guest.cancel('SIGTERM')
    t.equal(
      await started,
      'VIR_ERR_OPERATION_ABORTED VIR_FROM_QEMU: operation aborted: start was cancelled by SIGTERM',
      when
    )
    await nothingIsLeft(t, guest, when)
    await startsAgain(t, guest, when)
    await guest.end()
  }
})

t.test('a guest that runs already', async t => {
  const guest = await StandInGuest.running(t)
  t.equal(
    await failureOf(() => guest.start()),
    'VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: Requested operation is not valid: domain is already running'
  )
  t.equal(await guest.state(), 'RUNNING BOOTED', 'it is not disturbed')
  t.equal(guest.qemu.launches, 1)
})

t.test('a start that was asked for paused', async t => {
  const guest = await StandInGuest.make(t)
  await guest.start({ paused: true })
  t.equal(await guest.state(), 'PAUSED USER')
  t.same(guest.lifecycle, ['STARTED BOOTED', 'SUSPENDED PAUSED'])
  t.notOk(guest.qemu.peer.commands.includes('cont'), 'its CPUs never ran')
  t.equal((await guest.status())?.paused, true)
})

t.test('what is saved while a start goes on', async t => {
  const guest = await StandInGuest.make(t, { answers: { 'query-cpus-fast': silent, cont: silent } })
  const started = guest.start()
  const order = await guest.qemu.peer.told('query-cpus-fast')
  t.match(await guest.status(), { phase: 'starting', paused: false })
  order.reply([])
  const cont = await guest.qemu.peer.told('cont')
  t.match(await guest.status(), { phase: 'running', process: { pid: guest.qemu.pid }, state: 3, reason: 11 })
  order.peer.event('RESUME')
  cont.reply()
  await started
  t.match(await guest.status(), { phase: 'running', state: 1, reason: 1 })
})
