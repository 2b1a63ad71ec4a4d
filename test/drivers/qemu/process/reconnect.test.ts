// Taking a guest over: whatever happened while nobody watched it, and whatever its QEMU says of it now.
import { existsSync } from 'node:fs'
import t from 'tap'
import type { Status } from '../../../../src/drivers/qemu/domain/status.ts'
import { Clock } from '../../../helper/clock.ts'
import { failureOf, type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Answers, dies, type Order, refuses, says, silent } from '../../../helper/stand-in-qemu.ts'

/** A guest that was left running, and what has happened to it since. */
interface Meanwhile extends GuestParts {
  /** QEMU's query-status now */
  status?: string
  /** done to the guest before it is left */
  before?: [api: string, args?: object]
  /** as its former process had saved it */
  saved?: Partial<Status>
  /** its QEMU is gone */
  dead?: boolean
}

async function takenOver(t: Parameters<typeof StandInGuest.running>[0], meanwhile: Meanwhile) {
  const guest = await StandInGuest.running(t, meanwhile)
  if (meanwhile.before) await guest.call(...meanwhile.before)
  guest.leave()
  guest.forget()
  if (meanwhile.dead) {
    guest.qemu.kill()
    await guest.qemu.gone()
  } else guest.qemu.machine.status = meanwhile.status ?? guest.qemu.machine.status
  return { guest, result: guest.takeOver(meanwhile.saved) }
}

const cases: Record<string, Meanwhile & { state: string; events?: string[]; told?: string }> = {
  nothing: { state: 'RUNNING BOOTED' },
  'nothing, and it was paused': { before: ['virDomainSuspend'], state: 'PAUSED USER' },
  'nothing, and it was started paused': {
    saved: { paused: true, state: 3, reason: 1 },
    status: 'prelaunch',
    state: 'PAUSED USER'
  },
  'it was paused': { status: 'paused', state: 'PAUSED UNKNOWN' },
  'it was paused by its watchdog': { status: 'watchdog', state: 'PAUSED WATCHDOG' },
  'a disk failed': { status: 'io-error', state: 'PAUSED IOERROR' },
  'it was paused for a reason QEMU made up later': { status: 'colo', state: 'PAUSED UNKNOWN' },
  'it was resumed': { before: ['virDomainSuspend'], status: 'running', state: 'RUNNING UNKNOWN' },
  'it fell asleep': { status: 'suspended', state: 'PMSUSPENDED UNKNOWN' },
  'its start was left before its CPUs ran': {
    saved: { state: 3, reason: 11 },
    status: 'prelaunch',
    state: 'RUNNING UNPAUSED',
    events: ['RESUMED UNPAUSED'],
    told: 'cont'
  }
}

for (const [what, { state, events = [], told, ...meanwhile }] of Object.entries(cases)) {
  t.test(`meanwhile: ${what}`, async t => {
    const { guest, result } = await takenOver(t, meanwhile)
    t.equal(await result, true)
    t.equal(await guest.state(), state)
    t.same(guest.lifecycle, events)
    t.equal(guest.qemu.peer.commands.includes('cont'), told === 'cont')
    t.equal((await guest.status())?.phase, 'running')
    t.equal(`${(await guest.status())?.state}`, `${(await guest.call('virDomainGetState')).state}`, 'it is saved')
    t.equal(await guest.failureOf('virDomainDestroy'), '')
    t.same(guest.leftovers, [])
  })
}

const ends: Record<string, Meanwhile & { state: string; events: string[]; failed: boolean; alive?: boolean }> = {
  'it was shut down': {
    status: 'shutdown',
    state: 'SHUTOFF SHUTDOWN',
    events: ['SHUTDOWN GUEST', 'STOPPED SHUTDOWN'],
    failed: false
  },
  'it panicked': {
    status: 'guest-panicked',
    state: 'SHUTOFF CRASHED',
    events: ['CRASHED PANICKED', 'STOPPED CRASHED'],
    failed: true
  },
  'QEMU died': { dead: true, state: 'SHUTOFF CRASHED', events: ['STOPPED CRASHED'], failed: true },
  'QEMU died of being destroyed': {
    dead: true,
    saved: { phase: 'stopping' },
    state: 'SHUTOFF DESTROYED',
    events: ['STOPPED DESTROYED'],
    failed: false
  },
  'it was not destroyed to the end': {
    saved: { phase: 'stopping' },
    state: 'SHUTOFF DESTROYED',
    events: ['STOPPED DESTROYED'],
    failed: false
  }
}

for (const [what, { state, events, failed, ...meanwhile }] of Object.entries(ends)) {
  t.test(`meanwhile: ${what}`, async t => {
    const { guest, result } = await takenOver(t, { persistent: true, ...meanwhile })
    await result
    t.match(await guest.ended(), { failed })
    await guest.qemu.gone()
    t.equal(await guest.state(), state)
    t.same(guest.lifecycle, events)
    t.same(guest.leftovers, ['domain.xml'])
    await guest.start()
    t.equal(await guest.state(), 'RUNNING BOOTED', 'it can be started again')
  })
}

t.test('a start that was cut short', async t => {
  const found: [what: string, saved: Partial<Status>][] = [
    ['with its process known', { phase: 'starting' }],
    ['before its process was known', { phase: 'starting', process: undefined }]
  ]
  for (const [what, saved] of found) {
    const { guest, result } = await takenOver(t, { saved })
    t.equal(await result, false, `${what}: it may be started anew`)
    await guest.qemu.gone()
    t.same(guest.lifecycle, [], 'nobody had heard of it')
    t.same(guest.leftovers, [])
    t.match(guest.logged, [{ level: 'warn', message: 'a start was cut short, removing what it left' }])
  }
})

t.test('another process has the number QEMU had', async t => {
  const saved = { process: { pid: process.pid, startTime: '1' } }
  const { guest, result } = await takenOver(t, { dead: true, saved })
  t.equal(await result, false)
  t.equal(await guest.state(), 'SHUTOFF CRASHED', 'and is left alone: this is told by it')
})

t.test('what the former process knew is known again', async t => {
  const saved: Partial<Status> = {
    fakeReboot: true,
    autoDestroy: true,
    taints: ['custom-monitor'],
    deprecations: ["machine type 'pc'"],
    originalCpu: '<cpu/>',
    stateTimeMs: 1,
    generation: 4000
  }
  const { guest, result } = await takenOver(t, { saved })
  await result
  const { generation = 0, ...status } = (await guest.status())!
  t.match(status, { ...saved, generation: undefined })
  t.ok(generation > 4000, 'whoever waits for a change hears of one')
  t.same((await guest.call('virDomainGetMessages')).msgs, [
    'tainted: custom monitor control commands issued',
    "deprecated configuration: machine type 'pc'"
  ])
})

t.test('a QEMU that cannot be asked is left alone, with all it has', async t => {
  const clock = new Clock(t)
  const ways: [what: string, answers: Answers, error: RegExp][] = [
    ['refused', { 'query-chardev': refuses('no') }, /^VIR_ERR_INTERNAL_ERROR .* 'query-chardev': no$/],
    [
      'refused to say what it does',
      { 'query-status': refuses('no') },
      /^VIR_ERR_INTERNAL_ERROR .* 'query-status': no$/
    ],
    ['garbage', { 'query-status': says('hello\n') }, /cannot parse json hello/],
    ['silent', { 'query-status': silent }, /^VIR_ERR_OPERATION_TIMEOUT .* did not answer 'query-status' within/],
    ['deaf', { qmp_capabilities: silent }, /^VIR_ERR_OPERATION_TIMEOUT /]
  ]
  for (const [what, answers, error] of ways) {
    const guest = await StandInGuest.running(t)
    guest.leave()
    Object.assign(guest.qemu.answers, answers)
    guest.forget()
    const failed = failureOf(() => guest.takeOver())
    const [command] = Object.keys(answers)
    await guest.qemu.peer.told(command!)
    if (Object.values(answers)[0] === silent) await clock.comes()
    t.match(await failed, error, what)
    t.ok(guest.qemu.isAlive, `${what}: QEMU runs on`)
    t.ok(existsSync(guest.root.status), `${what}: it can be taken over later`)
    guest.leave()
    guest.qemu.behave()
    t.equal(await guest.takeOver(), true, `${what}: as soon as it answers`)
    await guest.end()
  }
})

t.test('the agent begins to listen while its guest is taken over', async t => {
  const guest = await StandInGuest.running(t, {
    devices: `<controller type='virtio-serial'/>
      <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`
  })
  const { peer } = guest.qemu
  guest.leave()
  guest.forget()
  const chardevs = (open: boolean) => [{ label: 'charchannel0', filename: 'unix:x,server=on', 'frontend-open': open }]
  peer.answers['query-chardev'] = (order: Order) => {
    order.reply(chardevs(false))
    peer.event('VSERPORT_CHANGE', { id: 'channel0', open: true })
  }
  peer.answers['query-cpus-fast'] = silent
  const taken = guest.takeOver()
  const cpus = await peer.told('query-cpus-fast')
  await peer.told('query-chardev')
  await guest.untilTold('AGENT_LIFECYCLE')
  delete peer.answers['query-cpus-fast']
  cpus.reply([])
  await taken
  t.equal(guest.domain.agent?.connected, true)
  t.match(
    (await guest.call('virDomainGetXMLDesc', { flags: 0 })).xml,
    /name='org.qemu.guest_agent.0' state='connected'/
  )
})

t.test('QEMU dies while it is taken over', async t => {
  for (const command of ['qmp_capabilities', 'query-cpus-fast', 'query-chardev', 'query-status']) {
    const guest = await StandInGuest.running(t)
    guest.leave()
    guest.forget()
    guest.qemu.answers[command] = dies(guest.qemu)
    t.match(await failureOf(() => guest.takeOver()), /^VIR_ERR_/, command)
    await guest.qemu.gone()
    guest.leave()
    t.equal(await guest.takeOver(), false, `${command}: the next one finds it gone`)
    t.equal(await guest.state(), 'SHUTOFF CRASHED')
    t.same(guest.leftovers, [])
  }
})
