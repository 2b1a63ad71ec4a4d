// Calls the guest's agent answers, or does not, or answers as it likes; and the raw commands.
import t, { type Test } from 'tap'
import { Clock } from '../../../helper/clock.ts'
import { type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { dies, hangsUp, type Order, refuses, says, silent } from '../../../helper/stand-in-qemu.ts'

const AGENT: GuestParts = {
  devices: `<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`
}
const UNRESPONSIVE = 'VIR_ERR_AGENT_UNRESPONSIVE VIR_FROM_QEMU: Guest agent is not responding:'
const NOT_CONNECTED = `${UNRESPONSIVE} QEMU guest agent is not connected`
const late = (seconds: number) =>
  `VIR_ERR_AGENT_COMMAND_TIMEOUT VIR_FROM_QEMU: guest agent command timed out: guest agent didn't respond to command within '${seconds}' seconds`
const GONE =
  'VIR_ERR_AGENT_COMMAND_TIMEOUT VIR_FROM_QEMU: guest agent command timed out: Guest agent disappeared while executing command'
const failed = (command: string, why: string) =>
  `VIR_ERR_AGENT_COMMAND_FAILED VIR_FROM_QEMU: guest agent command failed: unable to execute QEMU agent command '${command}': ${why}`
const NOT_RUNNING = 'Requested operation is not valid: domain is not running'

interface Question {
  api: string
  args?: object
  command: string
  /** what the agent answers, and what the call gives */
  answer: unknown
  gives: object
  /** an answer of another kind, and how the call fails with it */
  nonsense?: [answer: unknown, error: RegExp]
  /** the error that stands for all an agent may have */
  fails?: string
}

/** In the order of virNodeSuspendTarget. */
const SUSPENDS = ['guest-suspend-ram', 'guest-suspend-disk', 'guest-suspend-hybrid']

const malformed = (why: string) =>
  new RegExp(`^VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: ${why.replace(/[()]/g, '.')}$`)

const QUESTIONS: Question[] = [
  {
    api: 'virDomainGetHostname',
    args: { flags: 2 },
    command: 'guest-get-host-name',
    answer: { 'host-name': 'h' },
    gives: { hostname: 'h' },
    nonsense: [null, /^VIR_ERR_NO_HOSTNAME /],
    fails: 'VIR_ERR_NO_HOSTNAME VIR_FROM_QEMU: no hostname found: no hostname found for domain t-stand-in'
  },
  {
    api: 'virDomainInterfaceAddresses',
    args: { source: 1 },
    command: 'guest-network-get-interfaces',
    answer: [
      { name: 'lo', 'ip-addresses': [{ 'ip-address-type': 'ipv4', 'ip-address': '127.0.0.1', prefix: 8 }] },
      {
        name: 'eth0',
        'hardware-address': '52:54:00:00:00:01',
        'ip-addresses': [{ 'ip-address-type': 'ipv6', 'ip-address': 'fe80::1', prefix: 64 }]
      },
      { name: 'eth0:1', 'ip-addresses': [{ 'ip-address-type': 'ipv4', 'ip-address': '10.0.0.2', prefix: 24 }] },
      { name: 'eth1' }
    ],
    gives: {
      ifaces: [
        { name: 'lo', addrs: [{ type: 0, addr: '127.0.0.1', prefix: 8 }] },
        {
          name: 'eth0',
          hwaddr: '52:54:00:00:00:01',
          addrs: [
            { type: 1, addr: 'fe80::1', prefix: 64 },
            { type: 0, addr: '10.0.0.2', prefix: 24 }
          ]
        },
        { name: 'eth1', addrs: [] }
      ]
    },
    nonsense: [{ name: 'eth0' }, /^VIR_ERR_INTERNAL_ERROR .*qemu agent didn't return an array of interfaces$/]
  },
  {
    api: 'virDomainGetTime',
    command: 'guest-get-time',
    answer: 2n ** 62n + 7n,
    gives: { seconds: (2n ** 62n + 7n) / 1_000_000_000n, nseconds: Number((2n ** 62n + 7n) % 1_000_000_000n) },
    nonsense: ['soon', /^VIR_ERR_INTERNAL_ERROR /]
  },
  { api: 'virDomainSetTime', args: { seconds: 5, nseconds: 6 }, command: 'guest-set-time', answer: {}, gives: {} },
  {
    api: 'virDomainGetVcpusFlags',
    args: { flags: 8 },
    command: 'guest-get-vcpus',
    answer: [
      { 'logical-id': 0, online: true },
      { 'logical-id': 1, online: false }
    ],
    gives: { num: 1 },
    nonsense: [7, /^VIR_ERR_INTERNAL_ERROR /]
  },
  {
    api: 'virDomainGetVcpusFlags',
    args: { flags: 12 },
    command: 'guest-get-vcpus',
    answer: [
      { 'logical-id': 0, online: true },
      { 'logical-id': 1, online: false }
    ],
    gives: { num: 2 }
  },
  {
    api: 'virDomainQemuAgentCommand',
    args: { cmd: '{"execute": "guest-info"}' },
    command: 'guest-info',
    answer: { version: '7.2' },
    gives: { result: '{"return":{"version":"7.2"}}' }
  },
  {
    api: 'virDomainFSFreeze',
    command: 'guest-fsfreeze-freeze',
    answer: 3,
    gives: { filesystems: 3 },
    nonsense: ['all', malformed('malformed return value')]
  },
  {
    api: 'virDomainFSFreeze',
    args: { mountpoints: ['/', '/home'] },
    command: 'guest-fsfreeze-freeze-list',
    answer: (order: Order) => order.reply(order.args.mountpoints.length),
    gives: { filesystems: 2 },
    nonsense: [2 ** 31, malformed('malformed return value')]
  },
  {
    api: 'virDomainFSThaw',
    command: 'guest-fsfreeze-thaw',
    answer: 0,
    gives: { filesystems: 0 },
    nonsense: [{}, malformed('malformed return value')]
  },
  { api: 'virDomainFSTrim', args: { minimum: 2n ** 64n - 1n }, command: 'guest-fstrim', answer: {}, gives: {} },
  {
    api: 'virDomainGetFSInfo',
    command: 'guest-get-fsinfo',
    answer: [{ mountpoint: '/', name: 'sda1', type: 'ext4', disk: [] }],
    gives: { info: [{ mountpoint: '/', name: 'sda1', fstype: 'ext4', devAliases: [] }] },
    nonsense: [{}, malformed('guest-get-fsinfo reply was missing or not an array')]
  },
  {
    api: 'virDomainGetGuestInfo',
    args: { types: ['VIR_DOMAIN_GUEST_INFO_USERS'] },
    command: 'guest-get-users',
    answer: [{ user: 'root', 'login-time': 1.5 }],
    gives: { params: { 'user.count': 1, 'user.0.name': 'root', 'user.0.login-time': 1500n } },
    nonsense: [null, malformed('guest-get-users reply was missing return data')]
  },
  {
    api: 'virDomainGetGuestInfo',
    args: { types: 2 },
    command: 'guest-get-osinfo',
    answer: { id: 'debian', machine: 'x86_64', version: 12 },
    gives: { params: { 'os.id': 'debian', 'os.machine': 'x86_64' } },
    nonsense: [[], malformed('guest-get-osinfo reply was missing return data')]
  },
  {
    api: 'virDomainGetGuestInfo',
    args: { types: 4 },
    command: 'guest-get-timezone',
    answer: { zone: 'CET', offset: -3600 },
    gives: { params: { 'timezone.name': 'CET', 'timezone.offset': -3600 } },
    nonsense: [{ zone: 'CET' }, malformed("'offset' missing in reply of guest-get-timezone")]
  },
  {
    api: 'virDomainGetGuestInfo',
    args: { types: 8 },
    command: 'guest-get-host-name',
    answer: { 'host-name': 'h' },
    gives: { params: { hostname: 'h' } },
    nonsense: [{ 'host-name': 7 }, malformed("'host-name' missing in guest-get-host-name reply")]
  },
  {
    api: 'virDomainGetGuestInfo',
    args: { types: 16 },
    command: 'guest-get-fsinfo',
    answer: [],
    gives: { params: {} },
    nonsense: [[{}], malformed("'mountpoint' missing in reply of guest-get-fsinfo")]
  },
  {
    api: 'virDomainGetGuestInfo',
    args: { types: 32 },
    command: 'guest-get-disks',
    answer: [{ name: '/dev/sda', partition: false }],
    gives: { params: { 'disk.count': 1, 'disk.0.name': '/dev/sda', 'disk.0.partition': false } },
    nonsense: ['none', malformed("qemu agent didn't return an array of disks")]
  },
  {
    api: 'virDomainGetGuestInfo',
    args: { types: 64 },
    command: 'guest-network-get-interfaces',
    answer: [{ name: 'lo' }],
    gives: { params: { 'if.count': 1, 'if.0.name': 'lo', 'if.0.addr.count': 0 } },
    nonsense: [{}, malformed("qemu agent didn't return an array of interfaces")]
  },
  {
    api: 'virDomainGetGuestInfo',
    args: { types: 128 },
    command: 'guest-get-load',
    answer: { load1m: 0.25, load5m: 1, load15m: 0 },
    gives: { params: { 'load.1m': 0.25, 'load.5m': 1, 'load.15m': 0 } },
    nonsense: [{ load1m: 1, load5m: '1' }, malformed("parameter 'load5m' is missing in reply of guest-get-load")]
  },
  {
    api: 'virDomainGetGuestVcpus',
    command: 'guest-get-vcpus',
    answer: [
      { 'logical-id': 0, online: true, 'can-offline': false },
      { 'logical-id': 1, online: true, 'can-offline': true },
      { 'logical-id': 4095, online: false, 'can-offline': true }
    ],
    gives: { params: { vcpus: '0-1,4095', online: '0-1', offlinable: '1,4095' } },
    nonsense: [
      [{ 'logical-id': 4096, online: true }],
      malformed("vcpu id '4096' reported by guest agent is out of range")
    ]
  },
  {
    api: 'virDomainSetUserPassword',
    args: { user: 'root', password: 'gehäim' },
    command: 'guest-set-user-password',
    answer: {},
    gives: {}
  },
  {
    api: 'virDomainAuthorizedSSHKeysGet',
    args: { user: 'root' },
    command: 'guest-ssh-get-authorized-keys',
    answer: { keys: ['a', 'b'] },
    gives: { keys: ['a', 'b'] },
    nonsense: [{ keys: ['a', 7] }, malformed('JSON string array contains non-string element')]
  },
  {
    api: 'virDomainAuthorizedSSHKeysSet',
    args: { user: 'root', keys: ['a'] },
    command: 'guest-ssh-add-authorized-keys',
    answer: {},
    gives: {}
  },
  {
    api: 'virDomainAuthorizedSSHKeysSet',
    args: { user: 'root', keys: ['a'], flags: 2 },
    command: 'guest-ssh-remove-authorized-keys',
    answer: {},
    gives: {}
  },
  ...SUSPENDS.map((command, target) => ({
    api: 'virDomainPMSuspendForDuration',
    args: { target },
    command,
    answer: {},
    gives: {}
  })),
  { api: 'virDomainShutdownFlags', args: { flags: 2 }, command: 'guest-shutdown', answer: {}, gives: {} },
  { api: 'virDomainReboot', args: { flags: 2 }, command: 'guest-shutdown', answer: {}, gives: {} }
]

async function asked(t: Test, { command, answer }: Question): Promise<StandInGuest> {
  const guest = await StandInGuest.running(t, AGENT)
  guest.qemu.agent.answers[command] = answer
  return guest
}

t.test('interfaces that an agent tells of in another form', async t => {
  const address = { 'ip-address-type': 'ipv4', 'ip-address': '10.0.0.2', prefix: 24 }
  const on = (...addresses: unknown[]) => [{ name: 'eth0', 'ip-addresses': addresses }]
  for (const [answer, why] of [
    [[{}], "qemu agent didn't provide 'name' field"],
    [[null], "qemu agent didn't provide 'name' field"],
    [on(7), "qemu agent didn't provide 'ip-address-type' field for interface 'eth0'"],
    [on({ ...address, 'ip-address-type': 'ipx' }), "unknown ip address type 'ipx'"],
    [on({ ...address, 'ip-address': 7 }), "qemu agent didn't provide 'ip-address' field for interface 'eth0'"],
    [on({ ...address, prefix: 1.5 }), "malformed 'prefix' field"],
    [on({ ...address, prefix: 2 ** 32 }), "malformed 'prefix' field"],
    [on({ ...address, prefix: '24' }), "malformed 'prefix' field"]
  ] as const) {
    const guest = await StandInGuest.running(t, AGENT)
    guest.qemu.agent.answers['guest-network-get-interfaces'] = answer
    const failure = await guest.failureOf('virDomainInterfaceAddresses', { source: 1 })
    t.equal(failure, `VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: ${why}`)
  }
})

t.test('answers', async t => {
  for (const question of QUESTIONS) {
    const guest = await asked(t, question)
    t.same(await guest.call(question.api, question.args), question.gives, question.api)
    const { commands } = guest.qemu.agent
    t.same(commands, ['guest-sync-delimited', question.command])
  }
})

t.test('errors', async t => {
  for (const question of QUESTIONS) {
    const { api, args, command, fails } = question
    const ways: [what: string, answer: unknown, error: RegExp | string][] = [
      ['refused', refuses('no'), fails ?? failed(command, 'no')],
      ['not known to it', refuses('x', 'CommandNotFound'), fails ?? failed(command, 'x')],
      ...(question.nonsense ? ([['answered with something else', ...question.nonsense]] as never[]) : [])
    ]
    const guest = await asked(t, question)
    for (const [what, answer, error] of ways) {
      guest.qemu.agent.answers[command] = answer
      const failure = await guest.failureOf(api, args)
      if (typeof error === 'string') t.equal(failure, error, `${api} ${what}`)
      else t.match(failure, error, `${api} ${what}`)
    }
    guest.qemu.agent.answers[command] = question.answer
    t.same(await guest.call(api, args), question.gives, `${api}: afterwards`)
  }
})

t.test('a guest that has no agent to ask', async t => {
  const without = await StandInGuest.running(t)
  const deaf = await StandInGuest.running(t, AGENT)
  deaf.qemu.peer.event('VSERPORT_CHANGE', { id: 'channel0', open: false })
  await deaf.untilTold('AGENT_LIFECYCLE')
  const paused = await StandInGuest.running(t, AGENT)
  await paused.call('virDomainSuspend')
  const off = await StandInGuest.make(t, AGENT)
  for (const { api, args } of QUESTIONS) {
    t.equal(
      await without.failureOf(api, args),
      'VIR_ERR_ARGUMENT_UNSUPPORTED VIR_FROM_QEMU: argument unsupported: QEMU guest agent is not configured',
      api
    )
    t.equal(await deaf.failureOf(api, args), NOT_CONNECTED, api)
    t.equal(await paused.failureOf(api, args), `VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: ${NOT_RUNNING}`, api)
    t.match(await off.failureOf(api, args), /^VIR_ERR_(OPERATION_INVALID|INVALID_ARG) /, api)
  }
  t.same(paused.qemu.agent.commands, [], 'a guest that stands still is asked nothing')
})

t.test('silence', async t => {
  const clock = new Clock(t)
  for (const question of QUESTIONS) {
    const { api, args, command, fails } = question
    const guest = await asked(t, { ...question, answer: silent })
    await guest.call('virDomainAgentSetResponseTimeout', { timeout: 7 })
    const failed = guest.failureOf(api, args)
    await guest.qemu.agent.told(command)
    t.equal(await guest.failureOf('virDomainGetInfo'), '', 'reading calls are answered meanwhile')
    // some have a limit of their own
    const limit = { 'guest-info': 5, 'guest-shutdown': 60 }[command] ?? 7
    clock.pass(limit * 1000)
    t.equal(await failed, fails ?? late(limit), api)
    t.equal(await guest.failureOf('virDomainInjectNMI'), '', 'no job is left')
    await guest.end()
  }
})

t.test('a guest that goes away', async t => {
  for (const question of QUESTIONS.filter(({ command }) => !/^guest-(shutdown|suspend)/.test(command))) {
    const { api, args, command, fails = GONE } = question
    const guest = await asked(t, question)
    guest.qemu.agent.answers[command] = hangsUp
    t.equal(await guest.failureOf(api, args), fails, api)
    guest.qemu.agent.answers[command] = dies(guest.qemu)
    const ended = guest.ended()
    t.equal(await guest.failureOf(api, args), fails, `${api}: with all of QEMU`)
    await ended
    t.equal(await guest.state(), 'SHUTOFF CRASHED')
  }
})

t.test('a guest that obeys at once closes the channel instead of answering', async t => {
  for (const api of ['virDomainShutdownFlags', 'virDomainReboot']) {
    const guest = await StandInGuest.running(t, AGENT)
    guest.qemu.agent.answers['guest-shutdown'] = ({ peer }: Order) => {
      guest.qemu.peer.event('VSERPORT_CHANGE', { id: 'channel0', open: false })
      void guest.untilTold('AGENT_LIFECYCLE').then(() => peer.hangUp())
    }
    t.equal(await guest.failureOf(api, { flags: 2 }), '', api)
    t.same(guest.qemu.peer.commands, [], 'no button is pressed')
  }
})

t.test('a guest that is on its way before its agent has answered has done as it was told', async t => {
  for (const flags of [0, 2, 3]) {
    const guest = await StandInGuest.running(t, AGENT)
    guest.qemu.agent.answers['guest-shutdown'] = ({ peer }: Order) => {
      guest.qemu.peer.event('SHUTDOWN', { guest: true, reason: 'guest-shutdown' })
      void guest.untilState('SHUTDOWN').then(() => peer.hangUp())
    }
    const ended = guest.ended()
    t.equal(await guest.failureOf('virDomainShutdownFlags', { flags }), '', `flags ${flags}`)
    t.notOk(guest.qemu.peer.commands.includes('system_powerdown'), 'no button is pressed')
    guest.qemu.exit(0)
    await ended
    t.match(await guest.state(), /^SHUTOFF/)
  }
})

t.test('without a way asked for, the agent is tried first and the power button after it', async t => {
  for (const [answer, pressed] of [
    [{}, []],
    [refuses('no'), ['system_powerdown']]
  ] as const) {
    for (const api of ['virDomainShutdown', 'virDomainShutdownFlags', 'virDomainReboot']) {
      const guest = await StandInGuest.running(t, AGENT)
      guest.qemu.agent.answers['guest-shutdown'] = answer
      t.equal(await guest.failureOf(api), '', api)
      t.same(guest.qemu.peer.commands, pressed, api)
      t.equal((await guest.status())?.fakeReboot, api === 'virDomainReboot' && pressed.length > 0 ? true : undefined)
    }
  }
})

t.test('the limits a caller may give', async t => {
  const guest = await StandInGuest.running(t, { ...AGENT })
  guest.qemu.agent.answers['guest-info'] = silent
  const ask = (timeout: number) =>
    guest.failureOf('virDomainQemuAgentCommand', { cmd: '{"execute":"guest-info"}', timeout })
  t.equal(
    await ask(-3),
    "VIR_ERR_INVALID_ARG VIR_FROM_QEMU: invalid argument: guest agent timeout '-3' is less than the minimum '-2'"
  )
  t.equal(await ask(0), late(0), 'told, but not waited for')
  const clock = new Clock(t)
  for (const [timeout, ms] of [
    [-1, 5000],
    [1, 1000],
    [3600, 3_600_000]
  ] as const) {
    const failure = ask(timeout)
    await guest.qemu.agent.told('guest-info')
    if (timeout === -1) await guest.qemu.agent.told('guest-info')
    clock.pass(ms)
    t.equal(await failure, late(ms / 1000))
  }
  const waits = ask(-2)
  const order = await guest.qemu.agent.told('guest-info')
  clock.pass(10 * 3_600_000)
  order.reply({})
  t.equal(await waits, '', 'for ever')
})

t.test('times', async t => {
  const guest = await StandInGuest.running(t, AGENT)
  const { agent, peer } = guest.qemu
  agent.answers['guest-set-time'] = {}
  await guest.call('virDomainSetTime', { seconds: 9_223_372_035n, nseconds: 999_999_999 })
  t.same((await agent.told('guest-set-time')).args, { time: 9_223_372_035_999_999_999n }, 'all digits')
  await guest.call('virDomainSetTime', { flags: ['VIR_DOMAIN_TIME_SYNC'] })
  t.same((await agent.told('guest-set-time')).args, {}, 'from its hardware clock')
  t.same(peer.commands, ['rtc-reset-reinjection', 'rtc-reset-reinjection'])
  t.equal(
    await guest.failureOf('virDomainSetTime', { seconds: 2n ** 62n }),
    `VIR_ERR_INVALID_ARG VIR_FROM_QEMU: invalid argument: Time '${2n ** 62n}' is too big for guest agent`
  )
  for (const [answer, gives] of [
    [0, { seconds: 0n, nseconds: 0 }],
    [1_000_000_001, { seconds: 1n, nseconds: 1 }]
  ] as const) {
    agent.answers['guest-get-time'] = answer
    t.same(await guest.call('virDomainGetTime'), gives)
  }
})

t.test('raw commands', async t => {
  const guest = await StandInGuest.running(t, {
    ...AGENT,
    answers: { 'query-balloon': { actual: 2n ** 63n }, set_link: refuses('Device not found', 'DeviceNotFound') }
  })
  const raw = (cmd: string) => guest.call('virDomainQemuMonitorCommand', { cmd })
  t.match(JSON.parse((await raw('{"execute": "query-status"}')).result), {
    return: { status: 'running' },
    id: /^libvirt-\d+$/
  })
  t.match((await raw('{"execute":"query-balloon"}')).result, /"actual":9223372036854775808\b/, 'all digits')
  t.match(
    JSON.parse((await raw('{"execute": "set_link", "arguments": {"name": "n"}}')).result),
    { error: { class: 'DeviceNotFound', desc: 'Device not found' } },
    "QEMU's error is an answer"
  )
  t.same(guest.qemu.peer.orders.at(-1)?.args, { name: 'n' })
  const bad: [cmd: string, error: RegExp][] = [
    ['', /^VIR_ERR_INTERNAL_ERROR VIR_FROM_NONE: internal error: cannot parse json : /],
    ['{', /^VIR_ERR_INTERNAL_ERROR VIR_FROM_NONE: internal error: cannot parse json \{: /],
    ['[]', /^VIR_ERR_INVALID_ARG VIR_FROM_QEMU: .* command must be a JSON object with a member 'execute'$/],
    ['null', /^VIR_ERR_INVALID_ARG VIR_FROM_QEMU: /],
    ['{"execute": 7}', /^VIR_ERR_INVALID_ARG VIR_FROM_QEMU: /],
    [
      '{"execute": "stop", "id": "mine"}',
      /^VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: Unable to append command 'id' string$/
    ]
  ]
  const before = guest.qemu.peer.orders.length
  for (const [cmd, error] of bad) t.match(await guest.failureOf('virDomainQemuMonitorCommand', { cmd }), error, cmd)
  for (const [cmd, error] of bad.slice(0, -1))
    t.match(await guest.failureOf('virDomainQemuAgentCommand', { cmd }), error, `${cmd}, to the agent`)
  t.equal(guest.qemu.peer.orders.length, before, 'nothing of it is told to QEMU')
  t.same((await guest.call('virDomainGetMessages')).msgs, [
    'tainted: custom monitor control commands issued',
    'tainted: custom guest agent control commands issued'
  ])
  guest.qemu.agent.answers['guest-info'] = says('{"return": {"x": 9223372036854775807}}\n')
  t.same(await guest.call('virDomainQemuAgentCommand', { cmd: '{"execute":"guest-info"}' }), {
    result: '{"return":{"x":9223372036854775807}}'
  })
})
