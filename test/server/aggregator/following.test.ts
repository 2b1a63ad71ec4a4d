// Following a shim: its report by long poll, its events as a stream, and the small tools the aggregator stands on.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { EventStream, type StreamedEvent } from '../../../src/server/aggregator/event-stream.ts'
import { KeyedLock } from '../../../src/server/aggregator/keyed-lock.ts'
import { guestNames, layoutOf } from '../../../src/server/aggregator/layout.ts'
import { ReportPoll } from '../../../src/server/aggregator/poll.ts'
import { formatAnswer } from '../../../src/server/raw-http.ts'
import { simulatedReport } from '../../helper/simulated-shims.ts'

t.setTimeout(120_000)

const dir = mkdtempSync(join(tmpdir(), 'virshim-following-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
let count = 0

/** A peer that does something with each request; what it was asked is kept. */
class Peer {
  readonly path = join(dir, `${count++}.sock`)
  readonly asked: string[] = []
  readonly sockets = new Set<Socket>()
  answer: (socket: Socket, n: number) => void = () => {}
  readonly #server: Server

  constructor(t: Test) {
    this.#server = createServer(socket => {
      this.sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('data', chunk => {
        this.asked.push(/^GET (\S+)/.exec(String(chunk))?.[1] ?? String(chunk))
        this.answer(socket, this.asked.length)
      })
    })
    t.teardown(() => this.close())
  }

  async listen(): Promise<this> {
    await new Promise<void>(done => this.#server.listen(this.path, done))
    return this
  }

  close(): void {
    this.#server.close()
    for (const socket of this.sockets) socket.destroy()
  }
}

const report = (generation: number) => formatAnswer(JSON.stringify({ ...simulatedReport(1), generation }))

/** What a poll says; settles once it has said so many things. */
function said(t: Test, peer: Peer, waitS = 30) {
  const all: string[] = []
  let wake = () => {}
  const say = (word: string) => {
    all.push(word)
    wake()
  }
  const listener = {
    report: ({ generation }: { generation: number }) => say(`report ${generation}`),
    same: () => say('same'),
    silent: () => say('silent'),
    lost: (error: Error) => say(`lost: ${error.message}`)
  }
  const poll = new ReportPoll(peer.path, listener, () => waitS)
  t.teardown(() => poll.close())
  return {
    poll,
    all,
    async until(count: number) {
      while (all.length < count) {
        await new Promise<void>(done => {
          wake = done
        })
      }
      return all
    }
  }
}

t.test('a long poll asks on from what it has, on one connection', async t => {
  const peer = await new Peer(t).listen()
  const answers = [report(4), report(7), formatAnswer(undefined), report(8)]
  peer.answer = (socket, n) => void (answers[n - 1] && socket.write(answers[n - 1]!))
  const { until } = said(t, peer, 17)
  t.same(await until(4), ['report 4', 'report 7', 'same', 'report 8'])
  t.same(peer.asked.slice(0, 4), ['/v1/report', ...[4, 7, 7].map(since => `/v1/report?since=${since}&wait=17`)])
  t.equal(peer.sockets.size, 1)
})

t.test('a connection that was of use is made anew at once, from the beginning', async t => {
  const peer = await new Peer(t).listen()
  peer.answer = (socket, n) => {
    if (n === 1) socket.end(report(1))
    // what is asked on the old one is not heard
    else if (peer.asked.at(-1) === '/v1/report') socket.write(report(2))
  }
  const { until } = said(t, peer)
  t.same(await until(2), ['report 1', 'report 2'])
  t.equal(peer.asked.filter(path => path === '/v1/report').length, 2)
})

t.test('what was never of use is lost, and tried again later and later, or at once when kicked', async t => {
  const peer = new Peer(t)
  const { poll, all, until } = said(t, peer)
  t.match((await until(3)).join(), /^(lost: connect ENOENT[^,]*,?){3}$/)
  peer.answer = socket => socket.write(report(1))
  await peer.listen()
  poll.kick()
  poll.kick()
  const lost = all.length
  while (all.at(-1) !== 'report 1') await until(all.length + 1)
  t.ok(all.length >= lost)
  t.equal(peer.sockets.size, 1, 'one connection, however often it is kicked')
})

t.test('answers that are none', async t => {
  const cases: [answer: string, lost: RegExp][] = [
    [formatAnswer(undefined), /answers its report with status 304/],
    ['HTTP/1.1 404 Not\r\nContent-Length: 0\r\n\r\n', /status 404/],
    [formatAnswer('[]'), /not a guest's report/],
    [formatAnswer('{'), /JSON/],
    [report(1) + report(2), /more than one answer/],
    ['\0\0\0\0\r\n\r\n', /not an HTTP answer/],
    ['x'.repeat(20_000), /too long/]
  ]
  for (const [answer, lost] of cases) {
    const peer = await new Peer(t).listen()
    peer.answer = socket => socket.write(answer)
    const { until, poll } = said(t, peer)
    t.match((await until(1))[0], lost, JSON.stringify(answer).slice(0, 40))
    poll.close()
  }
})

t.test('a poll that is closed by its listener asks nothing more', async t => {
  const peer = await new Peer(t).listen()
  peer.answer = socket => socket.write(report(1))
  const heard = await new Promise<number>(done => {
    const silent = () => t.fail('it is closed')
    const listener = {
      report: ({ generation }: { generation: number }) => close(generation),
      same: silent,
      silent,
      lost: silent
    }
    const poll = new ReportPoll(peer.path, listener, () => 30)
    const close = (generation: number) => {
      poll.close()
      poll.kick()
      done(generation)
    }
  })
  const [socket] = peer.sockets
  await new Promise<void>(done => (socket!.closed ? done() : socket!.once('close', done)))
  t.same([heard, peer.asked.length], [1, 1])
})

/** Events of a stream until it ends. */
async function streamed(
  t: Test,
  body: Buffer[],
  since?: number
): Promise<{ events: StreamedEvent[]; asked: string[] }> {
  const peer = await new Peer(t).listen()
  peer.answer = socket => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n')
    for (const piece of body) socket.write(piece)
    socket.end()
  }
  const events: StreamedEvent[] = []
  await new Promise<void>(ended => {
    const stream = new EventStream(peer.path, since, { event: event => void events.push(event), ended })
    t.teardown(() => stream.close())
  })
  return { events, asked: peer.asked }
}

t.test('an event stream, in whatever pieces', async t => {
  const dom = { name: 'gäst', uuid: 'u', id: 1 }
  const text = [
    ': hello\n\n',
    `id: 5\nevent: A\ndata: ${JSON.stringify({ dom, timestampUs: 1, x: 'ä: b' })}\n\n`,
    ':\n\n',
    'event: B\ndata: {}\n\n',
    'id: 6\nevent: B\n\n',
    `id: 7\nevent: C\ndata: {"dom":{},"timestampUs":2,"big":18446744073709551615}\n\n`,
    'id: 8\nevent: half\ndata: {'
  ].join('')
  const bytes = Buffer.from(text)
  const wanted = [
    { id: 5, event: 'A', dom, timestampUs: 1, data: { x: 'ä: b' } },
    { id: 7, event: 'C', dom: {}, timestampUs: 2, data: { big: 18446744073709551615n } }
  ]
  for (const size of [1, 3, 1000]) {
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size)
    )
    t.same((await streamed(t, pieces)).events, wanted, `${size} bytes at a time`)
  }
  t.same((await streamed(t, [])).asked, ['/v1/events'])
  t.same((await streamed(t, [], 0)).asked, ['/v1/events?since=0'])
})

t.test('a stream nobody serves has begun and ended; one that is closed says nothing', async t => {
  let ends = 0
  const listener = { event: () => t.fail('no event'), ended: () => ends++ }
  const none = new EventStream(join(dir, 'none.sock'), undefined, listener)
  await none.begun
  t.equal(ends, 1)
  const peer = await new Peer(t).listen()
  const closed = new EventStream(peer.path, undefined, listener)
  closed.close()
  await closed.begun
  t.equal(ends, 1)
})

t.test('work on one name waits for earlier work on it, also when that fails; other work does not', async t => {
  const lock = new KeyedLock()
  const order: string[] = []
  const gates = new Map<string, () => void>()
  const work = (name: string, ...keys: string[]) =>
    lock.run(keys, async () => {
      order.push(`${name} begins`)
      await new Promise<void>(done => gates.set(name, done))
      order.push(`${name} ends`)
      if (name === 'a') throw new Error('a fails')
      return name
    })
  const turn = () => new Promise(setImmediate)
  const [a, b, c] = [work('a', '1', '2'), work('b', '2', '3'), work('c', '4')]
  a.catch(() => undefined)
  await turn()
  t.same(order, ['a begins', 'c begins'])
  gates.get('a')!()
  await t.rejects(a, { message: 'a fails' })
  await turn()
  t.same(order.slice(2), ['a ends', 'b begins'])
  const d = work('d', '1', '3', '4')
  gates.get('c')!()
  await c
  await turn()
  t.notOk(order.includes('d begins'), 'not before the last of its names is free')
  gates.get('b')!()
  t.equal(await b, 'b')
  await turn()
  t.equal(order.at(-1), 'd begins')
  gates.get('d')!()
  t.equal(await d, 'd')
})

t.test('names of guests: directories and definitions, hidden ones aside', async t => {
  const root = join(dir, 'layout')
  const layout = layoutOf(root)
  t.same([...guestNames(layout)], [], 'nothing there yet')
  for (const name of ['a', 'b.xml', '.hidden']) mkdirSync(join(root, 'guests', name), { recursive: true })
  t.same([...guestNames(layout)].sort(), ['a', 'b.xml'])
  const definitionsDir = join(dir, 'definitions')
  mkdirSync(definitionsDir)
  for (const name of ['a.xml', 'c d.xml', '.x.xml', 'note.txt', 'autostart'])
    writeFileSync(join(definitionsDir, name), '')
  t.same([...guestNames({ ...layout, definitionsDir })].sort(), ['a', 'b.xml', 'c d'])
  t.equal(layoutOf(`${root}/../layout`).guest('a').apiSocket, join(root, 'guests/a/api.sock'))
})
