// Getting to a guest's shim: one that is gone, comes late, hangs, or closes in the middle; and what is handed through.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { errorsFrom } from '../../../src/conf/error.ts'
import { forward, forwardUpgrade } from '../../../src/server/aggregator/proxy.ts'
import { listens, reach } from '../../../src/server/aggregator/reach.ts'
import { sendErrorRaw } from '../../../src/server/http-app.ts'
import { errorOf } from '../../helper/definition.ts'

t.setTimeout(120_000)

const fail = errorsFrom('VIR_FROM_QEMU')
const dir = mkdtempSync(join(tmpdir(), 'virshim-reach-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
let sockets = 0

/** A server on a socket of its own, closed with the test. */
async function served(t: Test, server: Server, path = join(dir, `${sockets++}.sock`)): Promise<string> {
  const open = new Set<Socket>()
  server.on('connection', socket => {
    open.add(socket)
    socket.on('error', () => undefined)
  })
  await new Promise<void>(done => server.listen(path, done))
  t.teardown(() => {
    server.close()
    for (const socket of open) socket.destroy()
  })
  return path
}

t.test('who listens', async t => {
  const path = await served(t, createServer())
  t.equal(await listens(path), true)
  t.equal(await listens(join(dir, 'nobody')), false)
  writeFileSync(join(dir, 'plain'), '')
  t.equal(await listens(join(dir, 'plain')), false)
  t.equal(await listens(join(dir, 'plain/below')), true, 'an error that does not say that nobody does')
})

t.test('reaching', async t => {
  const path = await served(t, createServer())
  const socket = await reach(async () => path)
  t.notOk(socket.connecting)
  socket.destroy()
  t.equal(
    await errorOf(() => reach(async () => Promise.reject(fail('VIR_ERR_NO_DOMAIN', 'no such guest')))),
    'VIR_ERR_NO_DOMAIN: Domain not found: no such guest'
  )
  t.match(
    await errorOf(() => reach(async () => join(dir, 'plain/below'))),
    /^VIR_ERR_OPERATION_FAILED: operation failed: the guest's shim does not answer: .*ENOTDIR/
  )
  let finds = 0
  const late = join(dir, 'late.sock')
  const found = await reach(async () => {
    // it comes up under another name while it is looked for
    if (++finds === 3) await served(t, createServer(), late)
    return late
  })
  t.equal(finds, 3)
  found.destroy()
})

type Handler = (request: IncomingMessage, reply: ServerResponse) => void

/** A proxy in front of a shim that behaves in some way. */
async function proxied(t: Test, shim: Server, find?: () => Promise<string>): Promise<string> {
  const behind = await served(t, shim)
  const where = find ?? (async () => behind)
  const front = createHttpServer((incoming, reply) => {
    forward(where, incoming, reply).catch(error => sendErrorRaw(reply, error))
  })
  front.on('upgrade', (incoming, socket, head) => forwardUpgrade(where, incoming, socket as Socket, head))
  return served(t, front)
}

interface Heard {
  status: number
  headers: Record<string, unknown>
  body: string
}

function ask(socketPath: string, options: object = {}, body?: string): Promise<Heard> {
  return new Promise((done, failed) => {
    const sent = request({ socketPath, path: '/v1/domains/x/api?q=1', agent: false, ...options }, reply => {
      let text = ''
      reply.setEncoding('utf8')
      reply.on('data', chunk => {
        text += chunk
      })
      reply.on('error', failed)
      reply.on('end', () => done({ status: reply.statusCode!, headers: reply.headers, body: text }))
    })
    sent.on('error', failed)
    sent.end(body)
  })
}

t.test('requests and answers go through as they came', async t => {
  const echo: Handler = (incoming, reply) => {
    let body = ''
    incoming.setEncoding('utf8')
    incoming.on('data', chunk => {
      body += chunk
    })
    incoming.on('end', () => {
      reply.writeHead(418, { 'x-shim': 'yes', 'keep-alive': 'timeout=5', trailer: 'x' })
      reply.end(JSON.stringify({ method: incoming.method, url: incoming.url, headers: incoming.headers, body }))
    })
  }
  const path = await proxied(t, createHttpServer(echo))
  const headers = { 'content-type': 'text/odd', te: 'trailers', 'x-client': 'a', host: 'any' }
  const { status, headers: told, body } = await ask(path, { method: 'PATCH', headers }, 'ä'.repeat(100_000))
  t.equal(status, 418)
  t.equal(told['x-shim'], 'yes')
  t.notOk('trailer' in told, 'headers of the connection stay behind')
  const seen = JSON.parse(body)
  t.match(seen, { method: 'PATCH', url: '/v1/domains/x/api?q=1', body: 'ä'.repeat(100_000) })
  t.match(seen.headers, { 'content-type': 'text/odd', 'x-client': 'a', connection: 'keep-alive' })
  t.notOk('te' in seen.headers)
})

t.test('a shim that does not answer as it should', async t => {
  const raw = (text: string) => createServer(socket => socket.on('data', () => socket.end(text)))
  const failed = (why: RegExp) => ({
    status: 500,
    body: new RegExp(`"codeName":"VIR_ERR_OPERATION_FAILED".*the guest's shim does not answer: ${why.source}`)
  })
  t.match(
    await ask(
      await proxied(
        t,
        createServer(socket => socket.destroy())
      )
    ),
    failed(/.*/)
  )
  t.match(await ask(await proxied(t, raw('nonsense\r\n\r\n'))), failed(/Parse Error/))
  const gone = fail('VIR_ERR_NO_DOMAIN', 'no such guest')
  t.match(await ask(await proxied(t, createServer(), () => Promise.reject(gone))), {
    status: 404,
    body: /no such guest/
  })
  const half = await proxied(t, raw('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'))
  await t.rejects(ask(half), { code: 'ECONNRESET' }, 'half an answer is not taken for a whole one')
})

t.test('a stream: its head comes before its first byte, and a client that goes ends it', async t => {
  let ended = () => {}
  const isEnded = new Promise<void>(done => {
    ended = done
  })
  const stream: Handler = (_, reply) => {
    reply.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.flushHeaders()
    reply.on('close', ended)
  }
  const path = await proxied(t, createHttpServer(stream))
  const sent = request({ socketPath: path, path: '/', agent: false })
  sent.on('error', () => undefined)
  sent.end()
  const [reply] = await new Promise<[IncomingMessage]>(done => sent.on('response', (...args) => done(args)))
  t.equal(reply.headers['content-type'], 'text/event-stream')
  sent.destroy()
  await isEnded
  t.pass('the shim sees it end')
})

/** What a raw client hears until the other side closes. */
function heard(path: string, text: string): Promise<string> {
  return new Promise(done => {
    const socket = connect(path)
    let all = ''
    socket.on('data', chunk => {
      all += chunk
    })
    socket.on('error', () => undefined)
    socket.on('close', () => done(all))
    socket.write(text)
  })
}
const UPGRADE =
  'GET /v1/domains/x/open HTTP/1.1\r\nHost: a\r\nX-Odd: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'

t.test('an upgrade: both ends are joined from the request on', async t => {
  const echo = createServer(socket => {
    let all = ''
    socket.on('data', chunk => {
      all += chunk
      if (all.endsWith('END')) socket.end(`[${all}]`)
    })
  })
  t.equal(await heard(await proxied(t, echo), `${UPGRADE}first bytes END`), `[${UPGRADE}first bytes END]`)
  t.equal(
    await heard(
      await proxied(
        t,
        createServer(socket => socket.destroy())
      ),
      UPGRADE
    ),
    '',
    'a shim that closes'
  )
  const gone = fail('VIR_ERR_NO_DOMAIN', 'no such guest')
  const refused = await heard(await proxied(t, createServer(), () => Promise.reject(gone)), UPGRADE)
  t.match(refused, /^HTTP\/1\.1 404 Refused\r\n.*Connection: close\r\n\r\n\{.*no such guest"\}$/s)
})

t.test('a socket that is renamed under us is looked for again', async t => {
  const first = await served(
    t,
    createServer(socket => socket.end('old'))
  )
  const next = await served(
    t,
    createServer(socket => socket.end('new'))
  )
  renameSync(next, first)
  const socket = await reach(async () => first)
  const said = await new Promise(done => socket.once('data', chunk => done(String(chunk))))
  t.equal(said, 'new')
  socket.destroy()
})
