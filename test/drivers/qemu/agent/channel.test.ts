// The agent's channel. What is at its other end is a guest: it may say anything, and nothing for ever.
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Agent, availableAgent } from '../../../../src/drivers/qemu/agent/channel.ts'
import { Clock } from '../../../helper/clock.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'
import {
  AgentPeer,
  type Answers,
  hangsUp,
  type Order,
  peerOn,
  refuses,
  says,
  silent
} from '../../../helper/stand-in-qemu.ts'

const UNRESPONSIVE = 'VIR_ERR_AGENT_UNRESPONSIVE VIR_FROM_QEMU: Guest agent is not responding:'
const NOT_CONNECTED = `${UNRESPONSIVE} QEMU guest agent is not connected`
const late = (seconds: number) =>
  `VIR_ERR_AGENT_COMMAND_TIMEOUT VIR_FROM_QEMU: guest agent command timed out: guest agent didn't respond to command within '${seconds}' seconds`
const unsynchronised = (seconds: number) =>
  `${UNRESPONSIVE} guest agent didn't respond to synchronization within '${seconds}' seconds`
const failed = (why: string) =>
  `VIR_ERR_AGENT_COMMAND_FAILED VIR_FROM_QEMU: guest agent command failed: unable to execute QEMU agent command 'guest-info': ${why}`
const malformed = (why: string) => `VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: ${why}`
const GONE = 'Guest agent disappeared while executing command'
const gone = `VIR_ERR_AGENT_COMMAND_TIMEOUT VIR_FROM_QEMU: guest agent command timed out: ${GONE}`

/** Limits of commands that are not to be answered, s. */
const SHORT = 0.03
const SYNC = 1

/** An agent whose guest listens and answers so. */
async function connected(t: Test, answers: Answers = {}) {
  const { peer, path } = await peerOn(t, new AgentPeer(answers))
  const agent = new Agent(path)
  agent.connected = true
  t.teardown(() => agent.close())
  return { peer, agent }
}

/** Answers synchronisations with something said before. */
const syncAfter = (said: string | Buffer) => (order: Order) => {
  order.peer.write(said)
  order.peer.write(Buffer.from([0xff]))
  order.peer.send({ return: order.args.id })
}

t.test('what a guest has to be for its agent to be asked', async t => {
  const agent = new Agent('/nowhere')
  t.equal(
    await failureOf(() => availableAgent({ isRunning: false, agent })),
    'VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: Requested operation is not valid: domain is not running'
  )
  t.equal(
    await failureOf(() => availableAgent({ isRunning: true, agent: undefined })),
    'VIR_ERR_ARGUMENT_UNSUPPORTED VIR_FROM_QEMU: argument unsupported: QEMU guest agent is not configured'
  )
  t.equal(await failureOf(() => availableAgent({ isRunning: true, agent })), NOT_CONNECTED)
  t.equal(await failureOf(() => agent.execute('guest-info')), NOT_CONNECTED)
  agent.connected = true
  t.equal(availableAgent({ isRunning: true, agent }), agent)
})

t.test('a channel that is not there', async t => {
  const path = join(t.testdir(), 'agent')
  const agent = new Agent(path)
  agent.connected = true
  t.equal(
    await failureOf(() => agent.execute('guest-info')),
    `${UNRESPONSIVE} QEMU guest agent is not available due to an error`
  )
})

t.test('commands and their answers', async t => {
  const { peer, agent } = await connected(t, {
    'guest-get-time': 2n ** 62n + 1n,
    'guest-echo': (order: Order) => order.reply(order.args),
    'guest-nothing': null
  })
  t.equal(await agent.execute('guest-get-time'), 2n ** 62n + 1n, 'all digits')
  t.same(await agent.execute('guest-echo', { name: 'ä€' }), { name: 'ä€' })
  t.equal(await agent.execute('guest-nothing'), null)
  t.equal(await agent.raw({ execute: 'guest-get-time' }, { seconds: -2 }), 2n ** 62n + 1n, 'without a limit')
  t.equal(peer.connections, 1, 'one connection for all')
  const ids = peer.orders.flatMap(({ command, args }) => (command === 'guest-sync-delimited' ? [args.id] : []))
  t.equal(new Set(ids).size, 4, 'each exchange is told from the others')
})

t.test("the agent's errors", async t => {
  const cases: [said: string, error: string][] = [
    ['{"error": {"class": "GenericError", "desc": "no such thing"}}', failed('no such thing')],
    ['{"error": {"class": "CommandNotFound", "desc": "x"}}', failed('x')],
    ['{"error": {"class": "GenericError"}}', failed('GenericError')],
    ['{"error": {"class": "CommandDisabled"}}', failed('The command has been disabled for this instance')],
    ['{"error": {"class": "toString", "desc": 7}}', failed('toString')],
    ['{"error": null}', failed('unknown QEMU command error')],
    ['{"error": "no"}', failed('unknown QEMU command error')],
    ['{"error": {}, "return": 7}', failed('unknown QEMU command error')],
    ['{}', malformed("Unknown JSON reply '{}'")],
    ['{"id": 7}', malformed(`Unknown JSON reply '{"id": 7}'`)],
    ['[]', malformed("Parsed JSON reply '[]' isn't an object")],
    ['7', malformed("Parsed JSON reply '7' isn't an object")],
    [`"${'x'.repeat(1000)}"`, malformed(`Parsed JSON reply '"${'x'.repeat(199)}' isn't an object`)]
  ]
  for (const [said, error] of cases) {
    const { agent } = await connected(t, { 'guest-info': says(`${said}\n`), 'guest-ping': 'pong' })
    t.equal(await failureOf(() => agent.execute('guest-info')), error, said)
    t.equal(await agent.execute('guest-ping'), 'pong', 'the agent is there all the same')
  }
})

t.test('what was on the line before is not taken for an answer', async t => {
  const before: [what: string, said: string | Buffer][] = [
    ['words', 'login: '],
    ['a line of words', 'login:\n'],
    ['lines of other JSON', '{"return": "old"}\n{"return": 1}\n{"error": {"desc": "old"}}\nnull\n"x"\n7\n[]\n'],
    ['the beginning of an old answer', '{"return": {"host-name": "o'],
    ['bytes that are no text', Buffer.from([0, 0xff, 0xfe, 0x80, 0xc3, 0x28, 0xff])],
    ['an old answer with bytes that are no text', Buffer.from('{"return": "\xff\xff"}\n', 'latin1')]
  ]
  for (const [what, said] of before) {
    const { agent } = await connected(t, { 'guest-sync-delimited': syncAfter(said), 'guest-info': 'new' })
    t.equal(await agent.execute('guest-info'), 'new', what)
    t.equal(await agent.execute('guest-info'), 'new', `${what}, again`)
  }
})

t.test('answers may come in pieces, and be no text', async t => {
  const { peer, agent } = await connected(t, { 'guest-info': silent, 'guest-exec': silent })
  const done = agent.execute('guest-info')
  await peer.told('guest-info')
  const bytes = Buffer.from('rubbish that is no line of JSON\n{"return": "ä€𝄞"}\n')
  for (const byte of bytes) peer.write(Buffer.from([byte]))
  t.equal(await done, 'ä€𝄞')
  const output = agent.execute('guest-exec')
  await peer.told('guest-exec')
  peer.write(Buffer.from('{"return": {"out-data": "a\xffb"}}\n', 'latin1'))
  t.same(await output, { 'out-data': 'a\ufffdb' }, 'what cannot be read does not hide the rest')
})

t.test('one exchange at a time, in order', async t => {
  const { peer, agent } = await connected(t, { 'guest-info': silent, 'guest-ping': 'pong' })
  const first = agent.execute('guest-info')
  const second = agent.execute('guest-ping')
  const order = await peer.told('guest-info')
  t.same(peer.commands, ['guest-sync-delimited', 'guest-info'], 'the second is not told yet')
  order.reply('first')
  t.same(await Promise.all([first, second]), ['first', 'pong'])
})

t.test('silence', async t => {
  const { peer, agent } = await connected(t, { 'guest-info': silent, 'guest-ping': 'pong' })
  t.equal(await failureOf(() => agent.execute('guest-info', undefined, { seconds: SHORT })), late(SHORT))
  await peer.abandoned()
  t.equal(await agent.execute('guest-ping'), 'pong', 'by another connection')
  t.equal(peer.connections, 2)
  const half = agent.execute('guest-info', undefined, { seconds: SHORT })
  peer.write('{"return": "not all of ')
  t.equal(await failureOf(() => half), late(SHORT), 'half an answer is none')
  t.equal(await agent.execute('guest-ping'), 'pong')
})

t.test('a guest that does not synchronise keeps nobody waiting, whatever else it says', async t => {
  const floods: [what: string, answer: unknown][] = [
    ['silence', silent],
    ['another id', says('\u{ff}{"return": 1}\n')],
    [
      'other ids for as long as it is listened to',
      ({ peer }: Order) => {
        const timer = setInterval(() => peer.write('{"return": 1}\n'), SYNC * 100)
        void peer.abandoned().then(() => clearInterval(timer))
      }
    ],
    ['its own idea of an error', says('{"error": {"class": "GenericError", "desc": "no"}}\n')]
  ]
  await Promise.all(
    floods.map(async ([what, answer]) => {
      const { peer, agent } = await connected(t, { 'guest-sync-delimited': answer, 'guest-info': {} })
      const [asked, queued] = [SYNC, SYNC].map(limit =>
        failureOf(() => agent.execute('guest-info', undefined, { seconds: limit }))
      )
      t.equal(await asked, unsynchronised(SYNC), what)
      t.equal(await queued, unsynchronised(SYNC), `${what}: the next in the queue`)
      t.notOk(peer.commands.includes('guest-info'), 'nothing is told to who does not listen')
    })
  )
})

t.test('the guest goes away', async t => {
  const ways: [what: string, answers: Answers, error: string][] = [
    ['before it synchronises', { 'guest-sync-delimited': hangsUp }, `${UNRESPONSIVE} ${GONE}`],
    ['before it answers', { 'guest-info': hangsUp }, gone],
    [
      'with half an answer',
      {
        'guest-info': ({ peer }: Order) => {
          peer.write('{"ret')
          peer.hangUp()
        }
      },
      gone
    ]
  ]
  for (const [what, answers, error] of ways) {
    const { peer, agent } = await connected(t, { 'guest-ping': 'pong', ...answers })
    t.equal(await failureOf(() => agent.execute('guest-info')), error, what)
    delete peer.answers['guest-sync-delimited']
    t.equal(await agent.execute('guest-ping'), 'pong', `${what}, and comes back`)
  }
})

t.test('the channel is closed while somebody waits', async t => {
  const { peer, agent } = await connected(t, { 'guest-info': silent, 'guest-ping': 'pong' })
  const [waiting, queued] = ['guest-info', 'guest-ping'].map(command =>
    failureOf(() => agent.execute(command, {}, { seconds: -2 }))
  )
  await peer.told('guest-info')
  agent.connected = false
  agent.close()
  t.equal(await waiting, gone)
  t.equal(await queued, NOT_CONNECTED)
  await peer.abandoned()
})

const MAX = 10 * 1024 * 1024
const TOO_MUCH = `VIR_ERR_SYSTEM_ERROR VIR_FROM_QEMU: No complete agent response found in ${MAX} bytes: Numerical result out of range`

t.test('more than an answer can be', async t => {
  const { peer, agent } = await connected(t, { 'guest-info': says('x'.repeat(MAX + 1)), 'guest-ping': 'pong' })
  t.equal(await failureOf(() => agent.execute('guest-info')), TOO_MUCH)
  await peer.abandoned()
  t.equal(await agent.execute('guest-ping'), 'pong')
})

t.test('rubbish is gone through once', async t => {
  const rubbish = `${'\u20ac'.repeat(300_000)}\n`
  const { agent } = await connected(t, { 'guest-sync-delimited': syncAfter(rubbish), 'guest-info': 'new' })
  const began = process.cpuUsage()
  t.equal(await agent.execute('guest-info', undefined, { seconds: 60 }), 'new')
  t.ok(process.cpuUsage(began).user < 5_000_000, 'not once for each of its bytes')
})

t.test('an agent that talks all the time and answers nothing', async t => {
  const talks =
    (line: string) =>
    ({ peer }: Order) =>
      peer.write(line.repeat(20_000))
  for (const line of ['{"event": "x"}\n', '{"QMP": {}}\n', 'no JSON\n']) {
    const { peer, agent } = await connected(t, { 'guest-info': talks(line), 'guest-ping': 'pong' })
    t.equal(
      await failureOf(() => agent.execute('guest-info')),
      malformed('No agent response found in 10000 lines'),
      line
    )
    await peer.abandoned()
    t.equal(await agent.execute('guest-ping'), 'pong')
  }
})

t.test('what a guest says unasked stays with it', async t => {
  const { peer, agent } = await connected(t, { 'guest-ping': 'pong' })
  t.equal(await agent.execute('guest-ping'), 'pong')
  const line = `${'x'.repeat(16 * 1024)}\n`
  const before = process.memoryUsage().rss
  peer.write(line.repeat(4 * 1024))
  peer.write('{"return": "not asked for"}\n')
  // it waits in the socket, of which the agent's end reads nothing: what is asked next is answered behind it, or given up
  t.equal(await failureOf(() => agent.execute('guest-ping')), TOO_MUCH)
  await peer.abandoned()
  t.equal(await agent.execute('guest-ping'), 'pong')
  t.ok(process.memoryUsage().rss - before < 512 * 1024 * 1024)
})

t.test('an answer that is late is not taken for that to a later command', async t => {
  const { peer, agent } = await connected(t, { 'guest-info': silent, 'guest-ping': silent })
  t.equal(await failureOf(() => agent.execute('guest-info', undefined, { seconds: SHORT })), late(SHORT))
  const info = await peer.told('guest-info')
  await peer.abandoned()
  peer.answers['guest-sync-delimited'] = (order: Order) => {
    info.reply('late')
    syncAfter('')(order)
  }
  const asked = agent.execute('guest-ping')
  ;(await peer.told('guest-ping')).reply('pong')
  t.equal(await asked, 'pong')
})

t.test('an agent that is always too late for its limit is found by what it answers last', async t => {
  const waiting: Order[] = []
  /** Answers each synchronisation when the next one has come. */
  const lags = (order: Order) => {
    const before = waiting.splice(0)
    waiting.push(order)
    for (const one of before) {
      order.peer.write(Buffer.from([0xff]))
      one.reply(one.args.id)
    }
  }
  const { peer, agent } = await connected(t, {
    'guest-sync-delimited': lags,
    'guest-info': 'new',
    'guest-ping': 'pong'
  })
  t.equal(await failureOf(() => agent.execute('guest-info', undefined, { seconds: SHORT })), unsynchronised(SHORT))
  t.equal(await agent.execute('guest-info'), 'new')
  t.equal(
    await failureOf(() => agent.execute('guest-ping', undefined, { seconds: SHORT })),
    unsynchronised(SHORT),
    'what it answers to one before a command says nothing of that command'
  )
  t.equal(await agent.execute('guest-ping'), 'pong')
  t.same(
    peer.commands.filter(command => command !== 'guest-sync-delimited'),
    ['guest-info', 'guest-ping'],
    'who is not synchronised is told nothing'
  )
})

t.test('what is still to come of synchronisations that were late is no answer to a command', async t => {
  const held: Order[] = []
  const { agent } = await connected(t, {
    'guest-sync-delimited'(order: Order) {
      const [before] = held
      held.push(order)
      if (!before) return
      order.peer.write(Buffer.from([0xff]))
      before.reply(before.args.id)
    },
    'guest-ping'(order: Order) {
      // qemu-ga's word on the byte before the second, of which it was in the middle of something
      order.peer.write('{"error": {"class": "GenericError", "desc": "JSON parse error, stray"}}\n')
      order.peer.write(Buffer.from([0xff]))
      held[1]!.reply(held[1]!.args.id)
      order.reply('pong')
    }
  })
  t.equal(await failureOf(() => agent.execute('guest-info', undefined, { seconds: SHORT })), unsynchronised(SHORT))
  t.equal(await agent.execute('guest-ping'), 'pong')
})

t.test('a connection that ends with its synchronisation', async t => {
  const { agent } = await connected(t, { 'guest-sync-delimited': syncAfter(`${'x'.repeat(MAX - 10)}\n`) })
  // whoever waits for ever is told, too
  t.equal(await failureOf(() => agent.execute('guest-info', undefined, { seconds: -2 })), `${UNRESPONSIVE} ${GONE}`)
})

t.test('limits', async t => {
  const clock = new Clock(t)
  let seconds = -2
  const { peer, path } = await peerOn(t, new AgentPeer({ 'guest-info': silent }))
  const agent = new Agent(path, () => seconds)
  agent.connected = true
  t.teardown(() => agent.close())
  for (const [of, given, limit] of [
    [7, undefined, 7],
    [-1, undefined, 5],
    [7, -1, 5],
    [7, 3600, 3600],
    [-2, 2 ** 31 - 1, undefined],
    [-2, undefined, undefined],
    [7, -2, undefined]
  ] as const) {
    seconds = of
    const asked = failureOf(() => agent.execute('guest-info', undefined, given === undefined ? {} : { seconds: given }))
    const order = await peer.told('guest-info')
    clock.pass(limit === undefined ? 2_000_000_000 : limit * 1000)
    if (limit === undefined) order.reply({})
    t.equal(await asked, limit === undefined ? '' : late(limit), `${of}, ${given}`)
  }
  seconds = 0
  t.equal(await failureOf(() => agent.execute('guest-info')), late(0), 'told, but not waited for')
  seconds = 2
  peer.answers['guest-sync-delimited'] = silent
  for (const given of [undefined, 7, 1]) {
    peer.orders.length = 0
    const asked = failureOf(() => agent.execute('guest-info', undefined, given === undefined ? {} : { seconds: given }))
    await peer.told('guest-sync-delimited')
    clock.pass(given === 1 ? 1000 : 2000)
    t.equal(await asked, unsynchronised(given === 1 ? 1 : 2))
  }
})

t.test('a command whose answer may be an event, or the end of the agent', async t => {
  const { peer, agent } = await connected(t, { 'guest-shutdown': silent, 'guest-ping': 'pong' })
  const shutdown = () => agent.execute('guest-shutdown', undefined, { until: 'SHUTDOWN' })
  const asked = shutdown()
  await peer.told('guest-shutdown')
  agent.acted('RESET')
  agent.acted('SHUTDOWN')
  t.equal(await asked, undefined)
  t.equal(await agent.execute('guest-ping'), 'pong')
  peer.answers['guest-shutdown'] = hangsUp
  t.equal(await shutdown(), undefined, 'gone without a word')
  peer.answers['guest-shutdown'] = refuses('no')
  t.match(await failureOf(shutdown), /: no$/)
  agent.acted('SHUTDOWN')
})

t.test('commands an agent may lack', async t => {
  const { agent } = await connected(t, {
    'guest-a': refuses('x', 'CommandNotFound'),
    'guest-b': refuses('x', 'CommandDisabled'),
    'guest-c': refuses('x'),
    'guest-d': 7
  })
  t.equal(await agent.executeIfKnown('guest-a'), undefined)
  t.equal(await agent.executeIfKnown('guest-b'), undefined)
  t.match(await failureOf(() => agent.executeIfKnown('guest-c')), /^VIR_ERR_AGENT_COMMAND_FAILED .*: x$/)
  t.equal(await agent.executeIfKnown('guest-d'), 7)
})
