// claims.sock: what a container is given. It takes claims and word of shims, and does nothing else.
import { mkdirSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ask } from '../../../src/server/raw-http.ts'
import { ownNamespaces } from '../../../src/state/claim.ts'
import { processIdentity } from '../../../src/state/status.ts'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { bareGuest, Shim } from '../../helper/shim.ts'

t.setTimeout(120_000)

const host = new AggregatorRun()
t.teardown(() => host.end())
await host.start()
const socketPath = join(host.root, 'claims.sock')

const say = async (method: 'GET' | 'POST' | 'DELETE', path: string, args?: object) => {
  const body = args && JSON.stringify(args)
  const answer = await ask(socketPath, { method, path, ...(body && { body }), timeoutMs: 20_000 })
  return { status: answer.status, body: JSON.parse(answer.body) }
}

const claim = (name: string, kind: string, key: string) => ({
  name,
  uuid: `00000000-0000-4000-8000-00000000000${name.length}`,
  socket: `/nowhere/${name}/api.sock`,
  ...processIdentity(process.pid)!,
  namespaces: ownNamespaces(),
  resources: [{ kind, key, mode: 'exclusive' }]
})

t.test('claims are granted, refused and given back', async t => {
  const granted = await say('POST', '/v1/claims', claim('a', 'pci', '0000:01:00.0'))
  t.match(granted, { status: 200, body: { chosen: [], warnings: [] } })
  const second = claim('bb', 'pci', '0000:01:00.0')
  t.match(await say('POST', '/v1/claims', second), { status: 409, body: { conflicts: [{ holder: 'a' }] } })
  t.match(await say('DELETE', `/v1/claims/${granted.body.claim}`), { status: 200 })
  t.match(await say('POST', '/v1/claims', second), { status: 200 })
  for (const kind of ['toString', 'constructor', '__proto__']) {
    t.match(await say('POST', '/v1/claims', claim('a', kind, 'x')), { status: 400, body: { code: 8 } }, kind)
  }
  const large = { ...second, resources: [{ kind: 'disk', key: 'x'.repeat(2 * 1024 * 1024), mode: 'shared' }] }
  const tooLarge = await say('POST', '/v1/claims', large).catch(() => ({ status: 413 }))
  t.equal(tooLarge.status, 413, 'or the connection is closed before all of it is sent')
})

t.test('all else is not there', async t => {
  const paths: ['GET' | 'POST', string][] = [
    ['GET', '/v1/guests'],
    ['GET', '/v1/allocations'],
    ['GET', '/v1/conflicts'],
    ['GET', '/v1/claims'],
    ['GET', '/v1/events'],
    ['GET', '/metrics'],
    ['GET', '/healthz'],
    ['GET', '/openapi.json'],
    ['POST', '/v1/virDomainCreateXML'],
    ['POST', '/v1/virDomainDefineXML'],
    ['GET', '/v1/virConnectListAllDomains'],
    ['GET', '/v1/virDomainQemuReconnect'],
    ['POST', '/v1/domains/any/virDomainSuspend']
  ]
  for (const [method, path] of paths) {
    t.match(await say(method, path, method === 'POST' ? {} : undefined), { status: 404 }, path)
  }
  const upgraded = await new Promise(done => {
    const headers = { connection: 'Upgrade', upgrade: 'websocket' }
    const sent = request({ socketPath, path: '/v1/domains/any/virDomainOpenConsole', agent: false, headers })
    sent.on('response', ({ statusCode }) => done(statusCode))
    sent.on('upgrade', () => done('upgraded'))
    sent.on('error', () => done('closed'))
    sent.end()
  })
  t.not(upgraded, 'upgraded')
})

t.test('a shim that has only this socket claims, and is found', async t => {
  const shim = new Shim(bareGuest('t-claims-sock'))
  t.teardown(() => shim.end())
  const exited = shim.start('--aggregator', socketPath)
  await host.until('t-claims-sock', entry => entry?.state === 1)
  const held = (await host.ask('GET', '/v1/allocations')).body.allocations
  t.ok(held.some((one: { kind: string; state: string }) => one.kind === 'domain-id' && one.state === 'reported'))
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})

t.test('word of a shim is taken where one is; no other socket is connected to', async t => {
  const shim = new Shim(bareGuest('t-claims-word'))
  t.teardown(() => shim.end())
  const exited = shim.start('--aggregator', 'none')
  await shim.untilState(1)
  const told = (socket: unknown) => say('POST', '/v1/virDomainQemuReconnect', { socket })
  t.same(await told(join(shim.root, 'api.sock')), { status: 200, body: {} })
  await host.until('t-claims-word', entry => entry?.state === 1)
  let connected = 0
  const other = join(host.dir, 'docker.sock')
  const server = createServer(client => {
    connected++
    client.on('error', () => undefined)
  }).listen(other)
  t.teardown(() => server.close())
  mkdirSync(join(host.dir, 'api.sock'))
  for (const path of [other, join(host.dir, 'api.sock'), '/nowhere/api.sock', '']) {
    t.match(await told(path), { status: 500, body: { code: 9, message: /no shim answers/ } }, path)
  }
  for (const path of [7, null, {}]) t.match(await told(path), { status: 400, body: { code: 8 } })
  await sleep(100)
  t.equal(connected, 0)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})

t.test('pages of other sites are refused by the aggregator as by shims', async t => {
  for (const socket of ['api.sock', 'api-ro.sock', 'claims.sock']) {
    for (const path of ['/v1/guests', '/v1/domains/any/virDomainGetInfo', '/v1/claims']) {
      const status = await new Promise(done => {
        const headers = { origin: 'http://page.example' }
        const sent = request({ socketPath: join(host.root, socket), path, agent: false, headers })
        sent.on('response', reply => done(reply.resume().statusCode))
        sent.end()
      })
      t.ok(status === 403 || (socket === 'claims.sock' && status === 404), `${socket} ${path}: ${status}`)
    }
  }
  t.match(await host.call('/v1/guests?guest=a&guest=b'), { status: 400, body: { code: 8 } })
})
