// What an aggregator asks for on connections that ask for nothing else, and what becomes of such a connection when it
// does.
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AnswerReader, formatRequest, type RawAnswer } from '../../src/server/raw-http.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(120_000)

const RUNNING = 1
const PAUSED = 3

const shim = new Shim(bareGuest('t-report'))
t.teardown(() => shim.end())
void shim.start()
await shim.untilState(RUNNING)

/** A connection that asks one thing after the other. */
class Client {
  readonly socket: Socket
  readonly closed: Promise<void>
  readonly #reader = new AnswerReader()
  #answered: (answer: RawAnswer) => void = () => {}

  constructor(t: Test, socketName = 'api.sock') {
    this.socket = connect(join(shim.root, socketName))
    this.closed = new Promise(done => this.socket.once('close', () => done()))
    this.socket.on('error', () => undefined)
    this.socket.on('data', chunk => {
      const answer = this.#reader.push(chunk)
      if (answer) this.#answered(answer)
    })
    t.teardown(() => this.socket.destroy())
  }

  ask(...parts: string[]): Promise<RawAnswer> {
    const answer = new Promise<RawAnswer>(done => {
      this.#answered = done
    })
    for (const part of parts) this.socket.write(part)
    return answer
  }

  async report(query = ''): Promise<{ status: number; generation: number; state: number }> {
    const { status, body } = await this.ask(formatRequest('GET', `/v1/report${query}`))
    return { status, ...(body && JSON.parse(body)) }
  }
}

for (const socketName of ['api.sock', 'api-ro.sock']) {
  t.test(`reports, and then anything else, on one connection to ${socketName}`, async t => {
    const client = new Client(t, socketName)
    const { status, generation, state } = await client.report()
    t.same([status, state], [200, RUNNING])
    t.equal((await client.report(`?since=${generation}`)).status, 304)
    t.equal((await client.report(`?since=${generation}&wait=0`)).status, 304)
    t.equal((await client.report(`?since=${generation - 1}&wait=100`)).status, 200)
    const stats = JSON.parse((await client.ask(formatRequest('GET', '/v1/stats?stats=1'))).body)
    t.same(stats, { 'state.state': { type: 'int', value: RUNNING }, 'state.reason': { type: 'int', value: 1 } })
    const other = await client.ask('GET /v1/virDomainGetState HTTP/1.1\r\nHost: x\r\n\r\n')
    t.same(JSON.parse(other.body), { state: RUNNING, reason: 1 })
    t.equal((await client.report()).generation, generation, 'from the HTTP server now')
    t.equal((await client.report('?since=nonsense')).status, 400)
  })
}

t.test('a request that comes in pieces, or is written otherwise, is answered too', async t => {
  const pieces = new Client(t)
  const text = formatRequest('GET', '/v1/report')
  const first = pieces.ask(text.slice(0, 10))
  await new Promise(done => setTimeout(done, 50))
  pieces.socket.write(text.slice(10))
  t.equal((await first).status, 200)
  const foreign = new Client(t)
  t.equal((await foreign.ask('GET /v1/report HTTP/1.1\r\nHost: other\r\nAccept: */*\r\n\r\n')).status, 200)
  const unknown = new Client(t)
  t.equal((await unknown.ask(formatRequest('GET', '/v1/nothing'))).status, 404)
  t.equal((await new Client(t).ask(formatRequest('POST', '/v1/virDomainGetInfo', '{}'))).status, 200)
  for (const wrong of ['/v1/report?wait=long', '/v1/stats?stats=all']) {
    t.equal((await new Client(t).ask(formatRequest('GET', wrong))).status, 400)
  }
  const garbage = new Client(t)
  t.equal((await garbage.ask('garbage\r\n\r\n')).status, 400)
})

t.test('a change ends the wait of all who wait', async t => {
  const clients = Array.from({ length: 5 }, () => new Client(t))
  const { generation } = await clients[0]!.report()
  const waiting = clients.map(client => client.report(`?since=${generation}&wait=60`))
  // who has gone is not waited for
  const gone = new Client(t)
  void gone.report(`?since=${generation}&wait=60`)
  gone.socket.destroy()
  await shim.call('virDomainSuspend', {})
  for (const { status, state } of await Promise.all(waiting)) t.same([status, state], [200, PAUSED])
})

t.test('who asks on before the answer is let go', async t => {
  const client = new Client(t)
  const { generation } = await client.report()
  void client.report(`?since=${generation}&wait=60`)
  await new Promise(done => setTimeout(done, 50))
  client.socket.write(formatRequest('GET', '/v1/report'))
  await client.closed
  t.equal((await new Client(t).report()).status, 200)
})

t.test('the end of the shim ends the wait', async t => {
  const client = new Client(t)
  const { generation } = await client.report()
  const last = Promise.race([client.report(`?since=${generation}&wait=60`), client.closed])
  await shim.call('virDomainDestroy', {})
  await last
  await client.closed
  t.pass()
})
