// Sleep and wake-up, what follows when a guest ends, and the calls of guests whose memory the host cannot read.
import t from 'tap'
import { type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { dies, type Order, refuses, silent } from '../../../helper/stand-in-qemu.ts'

const AGENT: GuestParts = {
  devices: `<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`
}
const internal = (why: string) => `VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: ${why}`
const NOT_RUNNING = 'Requested operation is not valid: domain is not running'

t.test('a guest that falls asleep does not answer any more, and is woken up', async t => {
  for (const [target, command, event, told] of [
    ['VIR_NODE_SUSPEND_TARGET_MEM', 'guest-suspend-ram', 'SUSPEND', 'PMSUSPEND'],
    ['VIR_NODE_SUSPEND_TARGET_DISK', 'guest-suspend-disk', 'SUSPEND_DISK', 'PMSUSPEND_DISK'],
    ['VIR_NODE_SUSPEND_TARGET_HYBRID', 'guest-suspend-hybrid', 'SUSPEND', 'PMSUSPEND']
  ] as const) {
    const guest = await StandInGuest.running(t, AGENT)
    const { agent, peer } = guest.qemu
    agent.answers[command] = () => peer.event(event)
    t.equal(await guest.failureOf('virDomainPMSuspendForDuration', { target }), '')
    t.match(await guest.state(), /^PMSUSPENDED /)
    t.same(
      guest.told.map(([name]) => name),
      [told, 'LIFECYCLE']
    )
    t.same(guest.lifecycle, [`PMSUSPENDED ${event === 'SUSPEND' ? 'MEMORY' : 'DISK'}`])
    t.same(peer.commands, ['query-current-machine'])
    const asleep = 'VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: Requested operation is not valid: domain is pmsuspended'
    t.equal(await guest.failureOf('virDomainSuspend'), asleep)
    t.equal(
      await guest.failureOf('virDomainPMSuspendForDuration', { target }),
      `VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: ${NOT_RUNNING}`
    )
    guest.leave()
    guest.qemu.machine.status = 'suspended'
    await guest.takeOver()
    t.match(await guest.state(), /^PMSUSPENDED /, 'the next shim knows')
    guest.forget()
    guest.qemu.answers.system_wakeup = (order: Order) => {
      order.reply()
      peer.event('WAKEUP')
    }
    t.equal(await guest.failureOf('virDomainPMWakeup'), '')
    await guest.untilState('RUNNING WAKEUP')
    t.same(
      guest.told.map(([name]) => name),
      ['PMWAKEUP', 'LIFECYCLE']
    )
    t.same(guest.lifecycle, ['STARTED WAKEUP'])
    // the agent says now what it could not say then
    agent.write('{"return": {}}\n')
    agent.answers['guest-get-host-name'] = { 'host-name': 'h' }
    t.same(await guest.call('virDomainGetHostname'), { hostname: 'h' })
    await guest.end()
  }
})

t.test('a guest that is not to sleep', async t => {
  const outside = `<pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='no'/></pm>`
  const guest = await StandInGuest.running(t, { ...AGENT, outside })
  const suspend = (args: object) => guest.failureOf('virDomainPMSuspendForDuration', args)
  t.equal(await suspend({ target: 0 }), internal('S3 state is disabled for this domain'))
  t.equal(await suspend({ target: 1 }), internal('S4 state is disabled for this domain'))
  t.equal(await suspend({ target: 2 }), internal('S3 state is disabled for this domain'))
  guest.qemu.answers['query-current-machine'] = { 'wakeup-suspend-support': false }
  t.equal(
    await suspend({ target: 0 }),
    'VIR_ERR_OPERATION_UNSUPPORTED VIR_FROM_QEMU: Operation not supported: Domain does not have suspend support'
  )
  guest.qemu.answers['query-current-machine'] = dies(guest.qemu)
  t.match(await suspend({ target: 0 }), /End of file from qemu monitor$/)
  await guest.ended()
  t.equal(
    await suspend({ target: 3 }),
    'VIR_ERR_INVALID_ARG VIR_FROM_QEMU: invalid argument: Unknown suspend target: 3'
  )
  t.equal(
    await suspend({ target: 0, duration: 1 }),
    'VIR_ERR_ARGUMENT_UNSUPPORTED VIR_FROM_QEMU: argument unsupported: Duration not supported. Use 0 for now'
  )
  t.equal(await guest.failureOf('virDomainPMWakeup'), `VIR_ERR_OPERATION_INVALID VIR_FROM_DOMAIN: ${NOT_RUNNING}`)
})

const actions = (xml: string) =>
  ['poweroff', 'reboot', 'crash'].map(name => new RegExp(`<on_${name}>(.*)</on_${name}>`).exec(xml)?.[1]).join(' ')

t.test('what follows when a guest ends', async t => {
  const guest = await StandInGuest.running(t, { persistent: true })
  const { peer } = guest.qemu
  const set = (type: number, action: number, flags = 0) =>
    guest.failureOf('virDomainSetLifecycleAction', { type, action, flags })
  const both = async () => [
    actions((await guest.call('virDomainGetXMLDesc')).xml),
    actions((await guest.call('virDomainGetXMLDesc', { flags: 2 })).xml)
  ]
  t.same(await both(), ['destroy restart destroy', 'destroy restart destroy'])
  t.equal(await set(0, 1), '')
  t.same(await both(), ['restart restart destroy', 'destroy restart destroy'], 'of the running guest')
  t.equal(await set(2, 5, 2), '')
  t.same(await both(), ['restart restart destroy', 'destroy restart coredump-restart'], 'of the persistent one')
  t.equal(await set(2, 3, 3), '')
  t.same(await both(), ['restart restart preserve', 'destroy restart preserve'], 'of both')
  t.same(peer.commands, [], 'QEMU has nothing to do with it')
  const unsupported = (what: string) =>
    `VIR_ERR_CONFIG_UNSUPPORTED VIR_FROM_QEMU: unsupported configuration: qemu driver doesn't support ${what}`
  t.equal(
    await set(1, 0, 3),
    unsupported("'onReboot' set to 'destroy and 'onPoweroff' set to 'reboot'"),
    'one of them cannot be'
  )
  t.equal(await set(0, 3), unsupported("the 'preserve' action for 'on_reboot'/'on_poweroff'"))
  t.equal(await set(2, 2), unsupported("the 'rename-restart' action for 'on_reboot'/'on_poweroff'/'on_crash'"))
  const domain = 'VIR_FROM_DOMAIN'
  t.equal(
    await set(1, 4),
    `VIR_ERR_CONFIG_UNSUPPORTED ${domain}: unsupported configuration: Lifecycle event 'reboot' doesn't support 'coredump-destroy' action`
  )
  t.equal(await set(3, 0), `VIR_ERR_INVALID_ARG ${domain}: invalid argument: invalid lifecycle type '3'`)
  t.equal(await set(0, 6), `VIR_ERR_INVALID_ARG ${domain}: invalid argument: invalid lifecycle action '6'`)
  t.same(await both(), ['restart restart preserve', 'destroy restart preserve'], 'nothing has changed')

  t.equal(await set(0, 0, 1), '')
  t.equal(await set(1, 0, 1), '')
  t.same(peer.orders.at(-1)!.args, { reboot: 'shutdown' })
  guest.leave()
  guest.forget()
  await guest.takeOver()
  t.same(
    peer.orders.filter(({ command }) => command === 'set-action').map(({ args }) => args),
    [{ reboot: 'shutdown' }],
    'the next shim tells it again'
  )
  t.equal(await set(1, 1, 1), '')
  t.same(peer.orders.at(-1)!.args, { reboot: 'reset' })
  guest.qemu.answers['set-action'] = refuses('no')
  t.equal(await set(1, 0, 1), internal("unable to execute QEMU command 'set-action': no"))
  t.same(await both(), ['destroy restart preserve', 'destroy restart preserve'], 'QEMU would not have it')
  guest.qemu.answers['set-action'] = silent
  guest.forget()
  void set(1, 0, 1).catch(() => undefined)
  await peer.told('set-action')
  guest.leave()
  guest.qemu.behave()
  guest.forget()
  await guest.takeOver()
  t.same(
    peer.orders.filter(({ command }) => command === 'set-action').map(({ args }) => args),
    [{ reboot: 'reset' }],
    'what was not saved is undone by the next shim'
  )
})

t.test("guests with AMD's SEV, and without", async t => {
  const guest = await StandInGuest.running(t)
  const { answers } = guest.qemu
  const info = () => guest.call('virDomainGetLaunchSecurityInfo')
  const params = { 'sev-secret-header': 'aGVhZGVy', 'sev-secret': 'c2VjcmV0' }
  const set = (given: object = params) => guest.failureOf('virDomainSetLaunchSecurityState', { params: given })
  t.same(await info(), { params: {} })
  t.equal(
    await set(),
    'VIR_ERR_OPERATION_UNSUPPORTED VIR_FROM_QEMU: Operation not supported: setting a launch secret is only supported in SEV-enabled domains'
  )
  t.equal(
    await set({ x: 1 }),
    "VIR_ERR_ARGUMENT_UNSUPPORTED VIR_FROM_NONE: argument unsupported: parameter 'x' not supported"
  )
  guest.domain.def.launchSecurity = { type: 'sev', policy: 3 }
  const sev = { 'api-major': 1, 'api-minor': 55, 'build-id': 24, policy: 3, handle: 1, enabled: true }
  Object.assign(answers, { 'query-sev-launch-measure': { data: 'bWVhc3VyZQ==' }, 'query-sev': sev })
  const facts = {
    'sev-measurement': 'bWVhc3VyZQ==',
    'sev-api-major': 1,
    'sev-api-minor': 55,
    'sev-build-id': 24
  }
  t.same(await info(), { params: { ...facts, 'sev-policy': 3 } })
  answers['query-sev'] = { ...sev, 'sev-type': 'sev-snp', 'snp-policy': 2n ** 63n }
  t.same(await info(), { params: { ...facts, 'sev-snp-policy': 2n ** 63n } })
  for (const [answer, why] of [
    [{ ...sev, 'sev-type': 'x' }, "unknown SEV type 'x'"],
    [{}, 'query-sev reply was missing some data']
  ] as const) {
    answers['query-sev'] = answer
    t.equal(await guest.failureOf('virDomainGetLaunchSecurityInfo'), internal(why))
  }
  answers['query-sev-launch-measure'] = {}
  t.equal(
    await guest.failureOf('virDomainGetLaunchSecurityInfo'),
    internal("query-sev-launch-measure reply was missing 'data'")
  )

  t.equal(
    await set(),
    'VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: Requested operation is not valid: domain must be in a paused state'
  )
  await guest.call('virDomainSuspend')
  answers['sev-inject-launch-secret'] = {}
  t.equal(await set({ 'sev-secret': 'x' }), internal('Both secret and the secret header are required'))
  t.equal(await set(), '')
  const { peer } = guest.qemu
  t.same(peer.orders.at(-1)!.args, { 'packet-header': 'aGVhZGVy', secret: 'c2VjcmV0' })
  t.equal(await set({ ...params, 'sev-secret-set-address': 2n ** 40n }), '')
  t.equal(peer.orders.at(-1)!.args.gpa, 2 ** 40)
  answers['sev-inject-launch-secret'] = refuses('SEV: Not in correct state')
  t.match(await set(), /SEV: Not in correct state$/)
})
