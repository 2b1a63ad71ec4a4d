// The monitor's side of QMP: framing, ids, limits, and that whatever QEMU says or leaves unsaid ends every call.
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { VirError } from '../../../../src/conf/error.ts'
import { connectQmp, QmpError, type QmpEvent, QmpMonitor } from '../../../../src/drivers/qemu/monitor/qmp.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'
import {
  type Answers,
  hangsUp,
  type Order,
  peerOn,
  QmpPeer,
  refuses,
  says,
  silent
} from '../../../helper/stand-in-qemu.ts'

const GONE = 'VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: End of file from qemu monitor'

/** A monitor on a peer with these answers, shaken hands, and why it was closed. */
async function connected(t: Test, answers: Answers = {}) {
  const { peer, path } = await peerOn(t, new QmpPeer(answers))
  const monitor = await connectQmp(path)
  t.teardown(() => monitor.close())
  const closings: VirError[] = []
  const closed = new Promise<VirError>(resolve => monitor.on('close', resolve))
  monitor.on('close', reason => closings.push(reason))
  return { peer, monitor, closed, closings }
}

/** A monitor on streams of the test's own, not shaken hands. */
function onStreams() {
  const [fromQemu, toQemu] = [new PassThrough(), new PassThrough()]
  return { fromQemu, toQemu, monitor: new QmpMonitor(fromQemu, toQemu) }
}

t.test('a handshake that fails', async t => {
  const limitMs = 50
  const cases: [what: string, greeting: string | undefined, answers: Answers, error: string][] = [
    [
      'no greeting',
      '',
      {},
      `VIR_ERR_OPERATION_TIMEOUT VIR_FROM_QEMU: Timed out during operation: QEMU monitor did not answer 'greeting' within ${limitMs} ms`
    ],
    [
      'half a greeting',
      '{"QMP": {"ver',
      {},
      `VIR_ERR_OPERATION_TIMEOUT VIR_FROM_QEMU: Timed out during operation: QEMU monitor did not answer 'greeting' within ${limitMs} ms`
    ],
    [
      'another protocol',
      'SSH-2.0-OpenSSH_9.2\r\n',
      {},
      'VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: cannot parse json SSH-2.0-OpenSSH_9.2\r: not a QEMU monitor message'
    ],
    [
      'no capabilities',
      undefined,
      { qmp_capabilities: refuses('out of order') },
      "VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: unable to execute QEMU command 'qmp_capabilities': out of order"
    ],
    [
      'no answer to the capabilities',
      undefined,
      { qmp_capabilities: silent },
      `VIR_ERR_OPERATION_TIMEOUT VIR_FROM_QEMU: Timed out during operation: QEMU monitor did not answer 'qmp_capabilities' within ${limitMs} ms`
    ],
    ['an end instead of capabilities', undefined, { qmp_capabilities: hangsUp }, GONE]
  ]
  for (const [what, greeting, answers, error] of cases) {
    const peer = new QmpPeer(answers)
    if (greeting !== undefined) peer.greeting = greeting
    const { path } = await peerOn(t, peer)
    t.equal(await failureOf(() => connectQmp(path, limitMs)), error, what)
    await peer.abandoned()
  }
})

t.test('nobody listens', async t => {
  const path = join(t.testdir(), 'qmp.sock')
  t.equal(
    await failureOf(() => connectQmp(path)),
    `VIR_ERR_OPERATION_FAILED VIR_FROM_QEMU: operation failed: failed to connect to monitor socket '${path}': connect ENOENT ${path}`
  )
})

t.test('what is told, and what comes back', async t => {
  const big = 2n ** 64n - 1n
  const { peer, monitor } = await connected(t, {
    balloon: (order: Order) => order.reply(order.args),
    'qom-get': { value: big },
    stop: null
  })
  t.same(
    await monitor.execute('balloon', { value: 2n ** 53n + 1n }),
    { value: 2n ** 53n + 1n },
    'all digits, there and back'
  )
  t.same(await monitor.execute('qom-get'), { value: big })
  t.equal(await monitor.execute('stop'), null)
  t.same(
    peer.orders.map(({ command, id }) => [command, id]),
    [
      ['qmp_capabilities', 'libvirt-1'],
      ['balloon', 'libvirt-2'],
      ['qom-get', 'libvirt-3'],
      ['stop', 'libvirt-4']
    ]
  )
  t.equal(monitor.nextId, 'libvirt-5')
})

t.test('answers come in any order', async t => {
  const { peer, monitor } = await connected(t, { 'qom-get': silent })
  const asked = ['a', 'b', 'c'].map(property => monitor.execute('qom-get', { property }))
  const orders = [await peer.told('qom-get'), await peer.told('qom-get'), await peer.told('qom-get')]
  for (const order of [2, 0, 1].map(i => orders[i]!)) order.reply(order.args.property.toUpperCase())
  t.same(await Promise.all(asked), ['A', 'B', 'C'])
})

t.test("QEMU's errors", async t => {
  const { monitor } = await connected(t, {
    stop: refuses('no way', 'GenericError'),
    cont: refuses('gone', 'DeviceNotFound')
  })
  t.equal(
    await failureOf(() => monitor.execute('stop')),
    "VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: unable to execute QEMU command 'stop': no way"
  )
  t.equal(
    await failureOf(() => monitor.execute('nosuch')),
    "VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: unable to execute QEMU command 'nosuch': The command nosuch has not been found"
  )
  const raw = await monitor.execute('cont', undefined, { raw: true }).catch(error => error)
  t.type(raw, QmpError)
  t.match(raw, { class: 'DeviceNotFound', message: 'gone' }, 'as it is, for who wants it so')
  t.notOk(monitor.closed, 'an error is an answer')
})

t.test('a call that is not answered in time, and then is', async t => {
  const { peer, monitor } = await connected(t, { stop: silent, cont: 'answered' })
  t.equal(
    await failureOf(() => monitor.execute('stop', undefined, { timeoutMs: 20 })),
    "VIR_ERR_OPERATION_TIMEOUT VIR_FROM_QEMU: Timed out during operation: QEMU monitor did not answer 'stop' within 20 ms"
  )
  const late = await peer.told('stop')
  late.reply('late')
  late.refuse('later')
  t.equal(await monitor.execute('cont'), 'answered', 'nobody is waiting for the late answers, and nothing else suffers')
})

t.test('a call that is cancelled', async t => {
  const cancelled = "VIR_ERR_OPERATION_ABORTED VIR_FROM_QEMU: operation aborted: QEMU command 'stop' was cancelled"
  const { peer, monitor } = await connected(t, { stop: silent, cont: 'answered' })
  const controller = new AbortController()
  const { signal } = controller
  const failed = failureOf(() => monitor.execute('stop', undefined, { signal }))
  const order = await peer.told('stop')
  controller.abort()
  t.equal(await failed, cancelled)
  t.equal(await failureOf(() => monitor.execute('stop', undefined, { signal })), cancelled, 'before it began')
  order.reply()
  t.equal(await monitor.execute('cont'), 'answered')
  t.same(peer.commands, ['stop', 'cont'], 'what was cancelled before is not told')
})

t.test('lines may come in pieces, with other bytes at their ends, several at once', async t => {
  const events = ['ä€𝄞', 'x'.repeat(300), ''].map(name => JSON.stringify({ event: 'E', data: { name } }))
  const bytes = Buffer.from(` \r\n${events[0]}\r\n\n${events[1]}\n\r\n${events[2]}\r\n`)
  const cuts = fc.uniqueArray(fc.nat(bytes.length), { maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(cuts, async at => {
      const { fromQemu, monitor } = onStreams()
      const names: unknown[] = []
      monitor.on('event', ({ data }) => names.push(data.name))
      const edges = [0, ...at.sort((a, b) => a - b), bytes.length]
      for (const [i, from] of edges.slice(0, -1).entries()) fromQemu.write(bytes.subarray(from, edges[i + 1]))
      fromQemu.end()
      await new Promise(resolve => monitor.on('close', resolve))
      t.same(names, ['ä€𝄞', 'x'.repeat(300), ''], `cut at ${at}`)
    }),
    { numRuns: 30 }
  )
})

t.test('what is no message ends the connection, and every call with it', async t => {
  const notJson = (line: string) =>
    `VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: cannot parse json ${line}: not a QEMU monitor message`
  const unexpected = 'VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: unexpected message from QEMU monitor'
  const long = 'x'.repeat(5000)
  const cases: [what: string, said: string, error: string][] = [
    ['words', 'hello\n', notJson('hello')],
    ['a long line of words', `${long}\n`, notJson(long.slice(0, 200))],
    ['half an object', '{"return": {}\n', notJson('{"return": {}')],
    ['a list', '[]\n', notJson('[]')],
    ['null', 'null\n', notJson('null')],
    ['a number', '7\n', notJson('7')],
    ['nested too deep to parse', `${'['.repeat(200_000)}\n`, notJson('['.repeat(200))],
    ['an object that is nothing', '{"id": "ID"}\n', unexpected],
    ['an error that is none', '{"id": "ID", "error": null}\n', unexpected],
    ['an error that is a word', '{"id": "ID", "error": "no"}\n', unexpected],
    [
      'an error of no command',
      '{"error": {"class": "GenericError", "desc": "lost"}}\n',
      'VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: QEMU monitor: lost'
    ],
    [
      'a line that does not end',
      'x'.repeat(10 * 1024 * 1024 + 1),
      'VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: QEMU monitor reply exceeds 10485760 bytes'
    ]
  ]
  for (const [what, said, error] of cases) {
    const { peer, monitor, closings } = await connected(t, { stop: says(said), cont: silent })
    const other = failureOf(() => monitor.execute('cont'))
    await peer.told('cont')
    t.equal(await failureOf(() => monitor.execute('stop')), error, what)
    t.equal(await other, error, `${what}: who waited for something else`)
    t.equal(await failureOf(() => monitor.execute('query-status')), error, `${what}: who comes later`)
    t.ok(monitor.closed)
    await peer.abandoned()
    t.equal(closings.length, 1, `${what}: told once`)
    t.notOk(peer.commands.includes('query-status'), 'nothing more is told')
  }
})

t.test('answers nobody waits for are let pass', async t => {
  const answer = '{"return": "right", "id": "ID"}\n'
  for (const said of [
    '{"return": "wrong", "id": "libvirt-99"}\n',
    '{"return": "wrong"}\n',
    '{"return": "wrong", "id": {"a": 1}}\n',
    '{"return": "wrong", "id": null}\n',
    '{"error": {"class": "GenericError", "desc": "wrong"}, "id": "other"}\n',
    '{"QMP": {}}\n'
  ]) {
    const { monitor } = await connected(t, { stop: says(said + answer) })
    t.equal(await monitor.execute('stop'), 'right', said)
  }
  const { monitor } = await connected(t, { stop: says(answer + answer), cont: 'next' })
  t.equal(await monitor.execute('stop'), 'right')
  t.equal(await monitor.execute('cont'), 'next', 'an answer given twice is no answer to the next')
})

t.test('members that are no data of theirs', async t => {
  const { monitor } = await connected(t, {
    stop: says('{"__proto__": {"x": 1}, "return": {"__proto__": {"polluted": 1}}, "id": "ID"}\n')
  })
  await monitor.execute('stop')
  t.notOk('polluted' in {}, 'prototypes stay as they are')
})

t.test('QEMU goes away', async t => {
  const ways: [what: string, go: (peer: QmpPeer) => void][] = [
    ['in order', peer => peer.hangUp()],
    ['at once', peer => peer.close()],
    [
      'with half an answer said',
      peer => {
        peer.write('{"return": {')
        peer.hangUp()
      }
    ]
  ]
  for (const [what, go] of ways) {
    const { peer, monitor, closed, closings } = await connected(t, { stop: silent })
    const failed = failureOf(() => monitor.execute('stop'))
    await peer.told('stop')
    go(peer)
    t.equal(await failed, GONE, what)
    t.equal((await closed).message, 'internal error: End of file from qemu monitor', what)
    t.equal(await failureOf(() => monitor.execute('cont')), GONE, `${what}: who comes later`)
    t.equal(await failureOf(() => monitor.handshake()), GONE, `${what}: not even a handshake`)
    monitor.close()
    t.equal(closings.length, 1, `${what}: told once`)
  }
})

t.test('a socket that breaks', async t => {
  for (const side of ['fromQemu', 'toQemu'] as const) {
    const { monitor, ...streams } = onStreams()
    const failed = failureOf(() => monitor.execute('stop'))
    streams[side].destroy(new Error('read ECONNRESET'))
    t.equal(
      await failed,
      'VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: Unable to read from monitor: read ECONNRESET',
      side
    )
    t.ok(streams.fromQemu.destroyed && streams.toQemu.destroyed, 'both are let go of')
  }
})

t.test('letting go of a monitor', async t => {
  const { peer, monitor, closed } = await connected(t, { stop: silent })
  const failed = failureOf(() => monitor.execute('stop'))
  await peer.told('stop')
  monitor.close()
  t.equal(await failed, 'VIR_ERR_OPERATION_FAILED VIR_FROM_QEMU: operation failed: monitor closed')
  t.equal((await closed).code, 'VIR_ERR_OPERATION_FAILED')
  await peer.abandoned()
})

t.test('events', async t => {
  const { peer, monitor } = await connected(t, { stop: silent })
  const events: QmpEvent[] = []
  monitor.on('event', event => events.push(event))
  const done = monitor.execute('stop')
  const order = await peer.told('stop')
  peer.event('STOP')
  peer.event('RTC_CHANGE', { offset: 2n ** 60n }, { seconds: 5, microseconds: 6 })
  const before = Date.now() * 1000
  for (const timestamp of ['{}', 'null', '{"seconds": "soon"}', '7'])
    peer.write(`{"event": "X", "timestamp": ${timestamp}, "id": "libvirt-2", "return": "no answer"}\n`)
  peer.write('{"event": "Y", "timestamp": {"seconds": 1}}\n')
  order.reply('the answer')
  t.equal(await done, 'the answer', 'an event answers nothing')
  t.same(events.slice(0, 2), [
    { event: 'STOP', data: {}, timestampUs: 1_700_000_000_000_042 },
    { event: 'RTC_CHANGE', data: { offset: 2n ** 60n }, timestampUs: 5_000_006 }
  ])
  t.same(
    events.slice(2).map(({ event }) => event),
    ['X', 'X', 'X', 'X', 'Y']
  )
  for (const { timestampUs } of events.slice(2, -1))
    t.ok(timestampUs >= before && timestampUs <= Date.now() * 1000, 'without a time of its own it is now')
  t.equal(events.at(-1)?.timestampUs, 1_000_000)
})
