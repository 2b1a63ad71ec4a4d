// Streams of a shim: events that are resumed by id, and consoles over WebSocket with clients that are odd.
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type ClientRequest, request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { echoDisk } from '../helper/echo-disk.ts'
import { Shim } from '../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1
const KEPT = 1000
const NAME = 't-streams'

const dir = mkdtempSync(join(tmpdir(), 'virshim-streams-'))
writeFileSync(join(dir, 'disk'), echoDisk())
const shim = new Shim(`<domain type='qemu'><name>${NAME}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><disk type='file'><source file='${join(dir, 'disk')}'/><target dev='hda' bus='ide'/></disk>
  <serial type='pty'/></devices></domain>`)
t.teardown(async () => {
  await shim.end()
  rmSync(dir, { recursive: true, force: true })
})
void shim.start()
await shim.untilState(RUNNING)
const socketPath = join(shim.root, 'api.sock')

interface Event {
  id: number
  event: string
  data: Record<string, unknown>
}

/** A listener to events. */
class Listener {
  readonly events: Event[] = []
  status: number | undefined
  #sent: ClientRequest
  #text = ''
  #wake = () => {}

  constructor(t: Test, path: string, headers: Record<string, string> = {}) {
    this.#sent = request({ socketPath, path, headers, agent: false }, reply => {
      this.status = reply.statusCode
      reply.setEncoding('utf8')
      reply.on('error', () => undefined)
      reply.on('data', (text: string) => {
        const blocks = (this.#text + text).split('\n\n')
        this.#text = blocks.pop()!
        for (const block of blocks) this.#take(block)
        this.#wake()
      })
      this.#wake()
    })
    this.#sent.on('error', () => undefined)
    this.#sent.end()
    t.teardown(() => this.close())
  }

  close(): void {
    this.#sent.destroy()
  }

  /** Settles once so many events have come. */
  async have(count: number): Promise<Event[]> {
    while (this.status === undefined || this.events.length < count) {
      await new Promise<void>(done => {
        this.#wake = done
      })
    }
    return this.events
  }

  #take(block: string): void {
    const [, id, event, data] = /^id: (\d+)\nevent: (\w+)\ndata: (.*)$/.exec(block) ?? []
    if (data !== undefined) this.events.push({ id: Number(id), event: event!, data: JSON.parse(data) })
  }
}

const ids = (events: Event[]) => events.map(({ id }) => id)
const setTitle = (text: string) => shim.call('virDomainSetMetadata', { type: 1, metadata: text, flags: 0 })

t.test('events are resumed by id, as a query or as browsers do', async t => {
  const first = new Listener(t, '/v1/events')
  await first.have(0)
  for (const text of ['a', 'b', 'c']) await setTitle(text)
  const events = await first.have(3)
  const last = events[2]!.id
  t.same(ids(events), [last - 2, last - 1, last])
  t.match(events[0], {
    event: 'VIR_DOMAIN_EVENT_ID_METADATA_CHANGE',
    data: { dom: { name: NAME }, timestampUs: Number }
  })
  first.close()
  const cases: [path: string, headers: Record<string, string>, since: number][] = [
    [`/v1/events?since=${last - 2}`, {}, last - 2],
    ['/v1/events', { 'last-event-id': String(last - 1) }, last - 1],
    // what is in the address comes before what the browser adds
    [`/v1/events?since=${last}`, { 'last-event-id': '0' }, last],
    [`/v1/events?since=${last + 1000}`, {}, last]
  ]
  const listeners = cases.map(([path, headers]) => new Listener(t, path, headers))
  await Promise.all(listeners.map(one => one.have(0)))
  await setTitle('d')
  for (const [i, [path, , since]] of cases.entries()) {
    const count = last + 1 - since
    t.same(
      ids(await listeners[i]!.have(count)),
      Array.from({ length: count }, (_, n) => since + 1 + n),
      path
    )
  }
  const all = new Listener(t, '/v1/events?since=0')
  t.equal((await all.have(last + 1))[0]!.id, 1, 'all since the start')
})

t.test('only so many are kept: who was away for longer sees the gap in the ids', async t => {
  for (let i = 0; i < KEPT; i++) await setTitle(`title ${i}`)
  const late = new Listener(t, '/v1/events?since=1')
  const events = await late.have(KEPT)
  t.equal(events.length, KEPT)
  t.ok(events[0]!.id > 2)
  t.equal(events.at(-1)!.id, events[0]!.id + KEPT - 1)
})

t.test('ids that are none', async t => {
  for (const since of ['x', '-1', '1.5', '', '9'.repeat(20)]) {
    t.match(
      await shim.call(`/v1/events?since=${since}`),
      { status: 400, body: { codeName: 'VIR_ERR_INVALID_ARG' } },
      since
    )
  }
  const header = new Listener(t, '/v1/events', { 'last-event-id': 'x' })
  await header.have(0)
  t.equal(header.status, 400)
})

const consolePath = `ws+unix:${socketPath}:/v1/virDomainOpenConsole`

/** A viewer of the console. */
async function viewer(
  t: Test,
  query = '',
  at = consolePath
): Promise<{ socket: WebSocket; until(text: string): Promise<string> }> {
  const socket = new WebSocket(`${at}${query}`)
  t.teardown(() => socket.terminate())
  let heard = ''
  let wake = () => {}
  socket.on('message', (data, isBinary) => {
    if (!isBinary) throw new Error('consoles are bytes')
    heard += String(data)
    wake()
  })
  socket.on('error', () => undefined)
  await once(socket, 'open')
  return {
    socket,
    async until(text) {
      while (!heard.includes(text)) {
        await new Promise<void>(done => {
          wake = done
        })
      }
      return heard
    }
  }
}

t.test('a console: what was said before, what is typed, all viewers alike', async t => {
  const [one, two] = await Promise.all([viewer(t), viewer(t, '?devname=serial0')])
  await Promise.all([one.until('ready'), two.until('ready')])
  one.socket.send('x')
  await two.until('x')
  const byDomain = await viewer(t, '', `ws+unix:${socketPath}:/v1/domains/${NAME}/virDomainOpenConsole`)
  t.match(await byDomain.until('x'), /ready\r\nx/, 'who comes late sees it all')
})

t.test('a viewer who sends too much is let go, the others are not', async t => {
  const good = await viewer(t)
  await good.until('ready')
  const bad = await viewer(t)
  bad.socket.send(Buffer.alloc(256 * 1024 + 1))
  const [code] = await once(bad.socket, 'close')
  t.equal(code, 1009)
  good.socket.send('y')
  await good.until('y')
})

t.test('one who takes the console over with force ends the others', async t => {
  const old = await viewer(t)
  const closed = once(old.socket, 'close')
  const taker = await viewer(t, '?flags=VIR_DOMAIN_CONSOLE_FORCE')
  const [code, reason] = await closed
  t.same([code, String(reason)], [1000, 'somebody else took the device over'])
  taker.socket.send('z')
  await taker.until('z')
})

/** The answer to an upgrade that is refused. */
async function refused(path: string, socketName = 'api.sock'): Promise<{ status: number; codeName: string }> {
  const socket = new WebSocket(`ws+unix:${join(shim.root, socketName)}:${path}`)
  socket.on('error', () => undefined)
  const [, reply] = await once(socket, 'unexpected-response')
  let text = ''
  for await (const chunk of reply) text += chunk
  return { status: reply.statusCode, codeName: JSON.parse(text).codeName }
}

t.test('what is no console', async t => {
  const cases: [path: string, codeName: string][] = [
    ['/v1/virDomainOpenConsole?devname=nosuch', 'VIR_ERR_INTERNAL_ERROR'],
    ['/v1/virDomainOpenConsole?nosuch=1', 'VIR_ERR_INVALID_ARG'],
    ['/v1/virDomainOpenConsole?flags=4096', 'VIR_ERR_INVALID_ARG'],
    ['/v1/virDomainGetInfo', 'VIR_ERR_INVALID_ARG'],
    ['/v1/domains/nobody/virDomainOpenConsole', 'VIR_ERR_NO_DOMAIN']
  ]
  for (const [path, codeName] of cases) t.match(await refused(path), { status: Number, codeName }, path)
  const denied = await refused('/v1/virDomainOpenConsole', 'api-ro.sock')
  t.same(denied, { status: 403, codeName: 'VIR_ERR_OPERATION_DENIED' })
})

t.test('bytes that are no frames end the connection, not the shim', async t => {
  const socket = connect(socketPath)
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined)
  socket.resume()
  socket.write(
    `GET /v1/virDomainOpenConsole HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
  )
  // an unmasked frame of a reserved kind
  socket.write(Buffer.from([0xff, 0x7f, 0xff, 0xff]))
  await once(socket, 'close')
  t.match(await shim.call('virDomainGetState'), { body: { state: RUNNING } })
})

t.test('the end of the guest ends them all', async t => {
  const { socket } = await viewer(t)
  const closed = once(socket, 'close')
  await shim.call('virDomainDestroy', {})
  const [code] = await closed
  t.ok(code === 1000 || code === 1006, String(code))
})
