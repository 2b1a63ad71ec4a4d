// The agent's channel. What is at its other end is a guest: it may say anything, and nothing for ever.
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Agent, availableAgent } from '../../../../src/drivers/qemu/agent/channel.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'
import { AgentPeer, type Answers, hangsUp, type Order, peerOn, says, silent } from '../../../helper/stand-in-qemu.ts'

const UNRESPONSIVE = 'VIR_ERR_AGENT_UNRESPONSIVE VIR_FROM_QEMU: Guest agent is not responding:'
const NOT_CONNECTED = `${UNRESPONSIVE} QEMU guest agent is not connected`
const late = (command: string, ms: number) =>
  `${UNRESPONSIVE} Guest agent not available for now: no reply to '${command}' within ${ms} ms`
const failed = (why: string, command = 'guest-info') =>
  `VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: unable to execute QEMU agent command '${command}': ${why}`

/** The least time a synchronisation is given, ms. */
const SYNC_MS = 1000

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
    `${UNRESPONSIVE} cannot reach guest agent: connect ENOENT ${path}`
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
  t.equal(await agent.raw({ execute: 'guest-get-time' }, null), 2n ** 62n + 1n, 'without a limit')
  t.equal(peer.connections, 1, 'one connection for all')
  const ids = peer.orders.flatMap(({ command, args }) => (command === 'guest-sync-delimited' ? [args.id] : []))
  t.equal(new Set(ids).size, 4, 'each exchange is told from the others')
})

t.test("the agent's errors", async t => {
  const cases: [said: string, error: string][] = [
    ['{"error": {"class": "GenericError", "desc": "no such thing"}}', failed('no such thing')],
    [
      '{"error": {"class": "CommandNotFound", "desc": "x"}}',
      "VIR_ERR_OPERATION_UNSUPPORTED VIR_FROM_QEMU: Operation not supported: guest agent does not support command 'guest-info'"
    ],
    ['{"error": {"class": "GenericError"}}', failed('no reason given')],
    ['{"error": null}', failed('no reason given')],
    ['{"error": "no"}', failed('no reason given')],
    ['{}', failed('no reason given')],
    ['[]', failed('no reason given')]
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
  t.equal(await failureOf(() => agent.execute('guest-info', undefined, 30)), late('guest-info', 30))
  await peer.abandoned()
  t.equal(await agent.execute('guest-ping'), 'pong', 'by another connection')
  t.equal(peer.connections, 2)
  const half = agent.execute('guest-info', undefined, 30)
  peer.write('{"return": "not all of ')
  t.equal(await failureOf(() => half), late('guest-info', 30), 'half an answer is none')
  t.equal(await agent.execute('guest-ping'), 'pong')
})

t.test('a guest that does not synchronise keeps nobody waiting, whatever else it says', async t => {
  const floods: [what: string, answer: unknown][] = [
    ['silence', silent],
    ['another id', says('\u{ff}{"return": 1}\n')],
    [
      'other ids for as long as it is listened to',
      ({ peer }: Order) => {
        const timer = setInterval(() => peer.write('{"return": 1}\n'), SYNC_MS / 10)
        void peer.abandoned().then(() => clearInterval(timer))
      }
    ],
    ['its own idea of an error', says('{"error": {"class": "GenericError", "desc": "no"}}\n')]
  ]
  await Promise.all(
    floods.map(async ([what, answer]) => {
      const { peer, agent } = await connected(t, { 'guest-sync-delimited': answer, 'guest-info': {} })
      const [asked, queued] = [1, 2].map(limit => failureOf(() => agent.execute('guest-info', undefined, limit)))
      t.equal(await asked, late('guest-sync', SYNC_MS), what)
      t.equal(await queued, late('guest-sync', SYNC_MS), `${what}: the next in the queue`)
      t.notOk(peer.commands.includes('guest-info'), 'nothing is told to who does not listen')
    })
  )
})

t.test('the guest goes away', async t => {
  const ways: [what: string, answers: Answers][] = [
    ['before it synchronises', { 'guest-sync-delimited': hangsUp }],
    ['before it answers', { 'guest-info': hangsUp }],
    [
      'with half an answer',
      {
        'guest-info': ({ peer }: Order) => {
          peer.write('{"ret')
          peer.hangUp()
        }
      }
    ]
  ]
  for (const [what, answers] of ways) {
    const { peer, agent } = await connected(t, { 'guest-ping': 'pong', ...answers })
    t.equal(await failureOf(() => agent.execute('guest-info')), NOT_CONNECTED, what)
    delete peer.answers['guest-sync-delimited']
    t.equal(await agent.execute('guest-ping'), 'pong', `${what}, and comes back`)
  }
})

t.test('the channel is closed while somebody waits', async t => {
  const { peer, agent } = await connected(t, { 'guest-info': silent, 'guest-ping': 'pong' })
  const [waiting, queued] = ['guest-info', 'guest-ping'].map(command =>
    failureOf(() => agent.execute(command, {}, null))
  )
  await peer.told('guest-info')
  agent.connected = false
  agent.close()
  t.equal(await waiting, NOT_CONNECTED)
  t.equal(await queued, NOT_CONNECTED)
  await peer.abandoned()
})

t.test('more than an answer can be', async t => {
  const MAX = 10 * 1024 * 1024
  const { peer, agent } = await connected(t, { 'guest-info': says('x'.repeat(MAX + 1)), 'guest-ping': 'pong' })
  t.equal(
    await failureOf(() => agent.execute('guest-info')),
    `VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: guest agent reply exceeds ${MAX} bytes`
  )
  await peer.abandoned()
  t.equal(await agent.execute('guest-ping'), 'pong')
})

t.test('rubbish is gone through once', async t => {
  const rubbish = `${'\u20ac'.repeat(300_000)}\n`
  const { agent } = await connected(t, { 'guest-sync-delimited': syncAfter(rubbish), 'guest-info': 'new' })
  const began = process.cpuUsage()
  t.equal(await agent.execute('guest-info', undefined, 60_000), 'new')
  t.ok(process.cpuUsage(began).user < 5_000_000, 'not once for each of its bytes')
})
