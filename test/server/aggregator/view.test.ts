// The aggregator's view over HTTP and through our client, with real shims.
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { WebSocket } from 'ws'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { bareGuest } from '../../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1
const PAUSED = 3

const host = new AggregatorRun()
t.teardown(() => host.end())
await host.start()

/** Starts a shim the aggregator has not been asked for. */
function startShim(name: string, ...options: string[]): void {
  const file = join(host.dir, `${name}.xml`)
  writeFileSync(file, bareGuest(name))
  const done = spawnSync('bin/virshimd', ['--root', host.guest(name), '--detach', ...options, file], {
    encoding: 'utf8'
  })
  if (done.status !== 0) throw new Error(done.stderr)
}

function virshim(...words: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync('bin/virshim', ['-c', host.socket, ...words], { encoding: 'utf8' })
  return { status, out: stdout, err: stderr }
}

startShim('view-a')
// guests are told of in the order they were found in
await host.until('view-a', entry => entry?.state === RUNNING)
startShim('view-b', '--define')
await host.until('view-b', entry => entry?.state === RUNNING && entry.persistent)

t.test('what it says has the form that is promised', async t => {
  const { status, body } = await host.call('guests')
  t.equal(status, 200)
  const ajv = new Ajv2020({ strict: false })
  t.ok(ajv.validate(JSON.parse(readFileSync('schemas/guests.json', 'utf8')), body), ajv.errorsText())
  t.same(
    body.guests.map(({ name, flags }: { name: string; flags: string[] }) => [name, flags]),
    [
      ['view-a', []],
      ['view-b', []]
    ]
  )
  const { uuid, id } = await host.entry('view-b')
  for (const word of ['view-b', uuid, uuid.toUpperCase()]) {
    const { guests } = (await host.call(`/v1/guests?guest=${word}`)).body
    t.same(
      guests.map(({ name }: { name: string }) => name),
      ['view-b'],
      word
    )
  }
  t.ok((await host.call(`/v1/guests?guest=${id}`)).body.guests.length > 0)
  t.match(await host.call('/healthz'), { status: 200, body: { ok: true, guests: 2, unreachable: 0 } })
  const { paths } = (await host.call('/openapi.json')).body
  for (const path of ['/v1/virConnectListAllDomains', '/v1/virDomainQemuReconnect', '/v1/guests'])
    t.ok(paths[path], path)
  t.ok(paths['/v1/domains/{domain}/virDomainSuspend'].post)
  const metrics = (await host.call('/metrics')).body as string
  for (const name of ['view-a', 'view-b']) {
    t.match(metrics, new RegExp(`virshim_domain_up\\{domain="${name}",uuid="[^"]+"\\} 1\n`))
    t.match(metrics, new RegExp(`virshim_domain_memory_bytes\\{domain="${name}",[^}]*\\} 67108864\n`))
  }
})

t.test('lists and looks up all guests', async t => {
  const { domains } = (await host.call('virConnectListAllDomains')).body
  t.same(
    domains.map(({ name }: { name: string }) => name),
    ['view-a', 'view-b']
  )
  t.equal((await host.call('virConnectListAllDomains?flags=VIR_CONNECT_LIST_DOMAINS_TRANSIENT')).body.domains.length, 1)
  t.match(await host.call('virDomainLookupByName', { name: 'view-b' }), { body: { dom: { name: 'view-b' } } })
  t.match(await host.call('virDomainLookupByName', { name: 'nope' }), { status: 404, body: { code: 42 } })
  const { retStats } = (await host.call('virConnectGetAllDomainStats', { stats: 1 })).body
  t.same(
    retStats.map(({ params }: { params: object }) => params),
    Array(2).fill({ 'state.state': RUNNING, 'state.reason': 1 })
  )
})

t.test('calls for a guest are carried out by its shim', async t => {
  t.match(await host.call('domains/view-a/virDomainSuspend', {}), { status: 200, body: {} })
  t.equal((await host.call('domains/view-a/virDomainGetState')).body.state, PAUSED)
  await host.until('view-a', entry => entry.state === PAUSED)
  t.match(await host.call('domains/view-a/virDomainResume', {}, 'api-ro.sock'), { status: 403, body: { code: 29 } })
  t.match(await host.call('domains/view-a/virDomainResume', {}), { status: 200, body: {} })
  t.match(await host.call('domains/nope/virDomainResume', {}), { status: 404, body: { code: 42 } })
  t.match(await host.call('domains/view-a/virDomainNope', {}), { status: 404, body: { code: 39 } })
  t.match(await host.call('virDomainSuspend', {}), { status: 400, body: { code: 8, message: /\/v1\/domains\// } })
  t.match(await host.call('virConnectNope', {}), { status: 404, body: { code: 39 } })
  t.match(await host.call('virDomainQemuReconnect', { socket: '/x' }, 'api-ro.sock'), { status: 403 })
})

t.test('a console goes through it', async t => {
  const socket = new WebSocket(`ws+unix:${host.socket}:/v1/domains/view-a/virDomainOpenConsole`)
  await new Promise((done, failed) => {
    socket.once('open', done)
    socket.once('error', failed)
  })
  const closed = new Promise(done => socket.once('close', done))
  socket.close()
  await closed
  const refused = new WebSocket(`ws+unix:${host.socket}:/v1/domains/nope/virDomainOpenConsole`)
  refused.on('error', () => undefined)
  const status = await new Promise(done =>
    refused.once('unexpected-response', (_request, reply) => done(reply.statusCode))
  )
  t.equal(status, 404)
})

t.test('our client works on it as on a shim', async t => {
  t.match(virshim('list').out, /^ Id +Name +State\n-+\n (\d+ +view-[ab] +running\n ?){2}\n$/)
  t.equal(virshim('domstate', 'view-a').out, 'running\n\n')
  t.match(virshim('dominfo', 'view-b').out, /Name: +view-b\n[\s\S]*Persistent: +yes\n/)
  t.match(virshim('suspend', 'view-b').out, /suspended/)
  t.equal(virshim('domstate', '--reason', 'view-b').out, 'paused (user)\n\n')
  t.match(virshim('resume', 'view-b').out, /resumed/)
  t.match(virshim('domstats', '--state').out, /Domain: 'view-[ab]'\n {2}state.state=1\n[\s\S]*Domain: 'view-[ab]'/)
  t.match(virshim('domstate', 'nope'), { status: 1, err: "error: failed to get domain 'nope'\n" })
  t.match(virshim('-r', 'suspend', 'view-b'), { status: 1, err: /read only access/ })
  t.match(virshim('version').out, /QEMU \d+\.\d+\.\d+/)
  const events = spawn('bin/virshim', ['-c', host.socket, 'event', '--all', '--loop', '--timeout', '60'])
  t.teardown(() => events.kill())
  let seen = ''
  events.stdout.on('data', chunk => {
    seen += chunk
  })
  // the client's stream has begun when a change is seen in it
  await host.untilSo('an event of each guest', async () => {
    for (const name of ['view-a', 'view-b']) {
      await host.call(`domains/${name}/virDomainSuspend`, {})
      await host.call(`domains/${name}/virDomainResume`, {})
    }
    return ['view-a', 'view-b'].every(name =>
      seen.includes(`event 'lifecycle' for domain '${name}': Suspended Paused\n`)
    )
  })
})

t.test('the stream of events goes on where a client left it', async t => {
  const first = await streamUntil(
    '/v1/events',
    text => text.includes('VIR_DOMAIN_EVENT_ID_LIFECYCLE'),
    async () => {
      await host.call('domains/view-a/virDomainSuspend', {})
    }
  )
  const id = Number(/^id: (\d+)$/m.exec(first)?.[1])
  await host.call('domains/view-b/virDomainSuspend', {})
  await host.call('domains/view-b/virDomainResume', {})
  await host.call('domains/view-a/virDomainResume', {})
  const rest = await streamUntil(`/v1/events?since=${id}`, text => /view-a[\s\S]*"event":4/.test(text))
  const names = [...rest.matchAll(/"name":"(view-.)"/g)].map(([, name]) => name)
  t.same(names, ['view-b', 'view-b', 'view-a'])
  const ids = [...rest.matchAll(/^id: (\d+)$/gm)].map(([, text]) => Number(text))
  t.same(ids, [id + 1, id + 2, id + 3])
})

/** What an event stream has brought when it is as wanted; `act` is done once it has begun. */
async function streamUntil(
  path: string,
  isEnough: (text: string) => boolean,
  act?: () => Promise<void>
): Promise<string> {
  const { request } = await import('node:http')
  return new Promise((done, failed) => {
    let text = ''
    const limit = setTimeout(() => failed(new Error(`not enough events: ${text}`)), 20_000)
    const sent = request({ socketPath: host.socket, path, agent: false }, reply => {
      act?.().catch(failed)
      reply.on('data', chunk => {
        text += chunk
        if (!isEnough(text)) return
        clearTimeout(limit)
        sent.destroy()
        done(text)
      })
    })
    sent.on('error', () => undefined)
    sent.end()
  })
}

t.test('a guest whose shim hangs is told so, and lists go on', async t => {
  const { pids } = await host.entry('view-b')
  process.kill(pids.shim, 'SIGSTOP')
  t.teardown(() => process.kill(pids.shim, 'SIGCONT'))
  await host.until('view-b', entry => entry.unreachableSince !== undefined, 60_000)
  t.match(virshim('list').out, /view-b +unreachable\n/)
  t.equal((await host.call('virConnectListAllDomains')).body.domains.length, 2)
  t.equal((await host.call('domains/view-b/virDomainGetState')).body.state, RUNNING, 'as it was last')
  t.match((await host.call('/healthz')).body, { unreachable: 1 })
  const { retStats } = (await host.call('virConnectGetAllDomainStats', { stats: 1 })).body
  t.same(
    retStats.map(({ dom }: { dom: { name: string } }) => dom.name),
    ['view-a']
  )
  t.match((await host.call('/metrics')).body, /virshim_domain_up\{domain="view-b",uuid="[^"]+"\} 0\n/)
  process.kill(pids.shim, 'SIGCONT')
  await host.until('view-b', entry => entry.unreachableSince === undefined)
})

t.test('one root has one aggregator, and its end touches no guest', async t => {
  const second = spawnSync('bin/virshim-aggregatord', ['--root', host.root], { encoding: 'utf8' })
  t.equal(second.status, 1)
  t.match(second.stderr, /in use by another virshim-aggregatord/)
  const before = (await host.call('guests')).body.guests
  await host.kill('SIGTERM')
  t.equal(host.child?.exitCode, 0)
  for (const { pids } of before) for (const pid of [pids.shim, pids.qemu]) t.ok(process.kill(pid, 0))
  await host.start()
  const after = (await host.call('guests')).body.guests
  const told = ({ name, pids, state }: (typeof before)[number]) => ({ name, pids, state })
  t.same(after.map(told).sort(byName), before.map(told).sort(byName), 'known again before it serves')
})

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)

t.test('bad usage', async t => {
  for (const words of [['--nope'], ['extra'], ['--log-level', 'loud']]) {
    const done = spawnSync('bin/virshim-aggregatord', words, { encoding: 'utf8' })
    t.equal(done.status, 2, words.join(' '))
    t.match(done.stderr, /^error: .*\n[\s\S]*usage: virshim-aggregatord/)
  }
  t.match(spawnSync('bin/virshim-aggregatord', ['--version'], { encoding: 'utf8' }).stdout, /^virshim-aggregatord \d/)
})
