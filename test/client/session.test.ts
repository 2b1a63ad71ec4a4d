// What a connection means, and daemons that do not behave: whatever comes, the client ends with lines of words.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { meansAll, socketsOf } from '../../src/client/connection.ts'
import { guestsDirectory } from '../../src/state/root.ts'
import { api, GUESTS } from '../helper/command-rows.ts'
import { Refused, runCommand } from '../helper/stand-in-api.ts'

const run = (words: string[], more: object = {}) => runCommand(words, { connect: api.socket, ...more })

t.test('sockets a connection means', async t => {
  const tree = mkdtempSync(join(tmpdir(), 'virshim-sockets-'))
  t.teardown(() => rmSync(tree, { recursive: true, force: true }))
  for (const path of ['one', 'host/guests/a', 'host/guests/b', 'host/guests/off', 'agg/guests/a', 'flat/x', 'empty']) {
    mkdirSync(join(tree, path), { recursive: true })
  }
  const sockets = ['one', 'host/guests/a', 'host/guests/b', 'agg', 'agg/guests/a', 'flat/x']
  for (const path of sockets) writeFileSync(join(tree, path, 'api.sock'), '')
  const cases: [where: string, sockets: string[]][] = [
    ['one/api.sock', ['one/api.sock']],
    ['one', ['one/api.sock']],
    ['one/', ['one/api.sock']],
    ['one/../one', ['one/api.sock']],
    ['host', ['host/guests/a/api.sock', 'host/guests/b/api.sock']],
    ['host/guests', ['host/guests/a/api.sock', 'host/guests/b/api.sock']],
    ['agg', ['agg/api.sock']],
    ['flat', ['flat/x/api.sock']],
    ['empty', []],
    ['nowhere', ['nowhere']]
  ]
  for (const [where, found] of cases) {
    t.same(
      socketsOf(join(tree, where)).sort(),
      found.map(path => join(tree, path)),
      where
    )
  }
  const uris: [uri: string, socket: string][] = [
    ['qemu+unix:///system?socket=/r/libvirt-sock', '/r/api.sock'],
    ['qemu:///system?socket=/r/libvirt-sock-ro', '/r/api.sock'],
    ['qemu+unix:///session?socket=/r/api.sock', '/r/api.sock'],
    ['qemu+unix:///system?socket=%2Fr%20s%2Flibvirt-sock', '/r s/api.sock'],
    ['unix:///r/any.sock', '/r/any.sock']
  ]
  for (const [uri, socket] of uris) {
    t.same([socketsOf(uri), meansAll(uri)], [[socket], false], uri)
  }
  const everybody = socketsOf(undefined)
  t.ok(everybody.every(socket => socket.startsWith(guestsDirectory())))
  for (const uri of ['qemu:///system', 'qemu:///session', 'qemu+unix:///system']) {
    t.same([socketsOf(uri), meansAll(uri)], [everybody, true], uri)
  }
  t.equal(meansAll(undefined), true)
  t.equal(meansAll('/r'), false)
  for (const uri of [
    'qemu+ssh://host/system',
    'qemu://host/system',
    'xen:///system',
    'test:///default',
    '://',
    'a b://'
  ]) {
    t.throws(() => socketsOf(uri), { message: /^failed to connect to the hypervisor\n.*'?:\/\// }, uri)
  }
})

t.test('quiet: no headers, no words of success', async t => {
  api.answers = { guests: { guests: GUESTS }, virDomainReset: {}, virDomainGetMetadata: new Refused('none', 80) }
  const quiet = (...words: string[]) => run(words, { quiet: true })
  t.same(await quiet('list', '--inactive'), { out: ' -   off   shut off\n -   Zed   shut off\n' })
  t.same(await quiet('reset', 'tiny'), { out: '' })
  t.same(await quiet('desc', 'tiny'), { out: '' })
  t.same(await quiet('reset', 'nobody'), { out: '', errors: ["failed to get domain 'nobody'"] })
})

t.test('a read-only connection uses the read-only socket', async t => {
  const { errors } = await run(['reset', 'tiny'], { readOnly: true })
  const socket = api.socket.replace('api.sock', 'api-ro.sock')
  t.same(errors, [
    'failed to connect to the hypervisor',
    `Failed to connect socket to '${socket}': No such file or directory`
  ])
})

t.test('among many sockets, those left by the dead do not matter; one that is asked for must answer', async t => {
  const many = mkdtempSync(join(tmpdir(), 'virshim-many-'))
  t.teardown(() => rmSync(many, { recursive: true, force: true }))
  for (const name of ['dead', 'plain']) {
    mkdirSync(join(many, name))
    writeFileSync(join(many, name, 'api.sock'), '')
  }
  t.same(await runCommand(['list', '--name'], { connect: many }), { out: '' })
  const one = join(many, 'dead/api.sock')
  t.same((await runCommand(['list'], { connect: one })).errors, [
    'failed to connect to the hypervisor',
    `Failed to connect socket to '${one}': Connection refused`
  ])
  t.same((await runCommand(['hostname'], { connect: join(many, 'nowhere/api.sock') })).errors, [
    'failed to get hostname',
    `Failed to connect socket to '${join(many, 'nowhere/api.sock')}': No such file or directory`
  ])
  rmSync(join(many, 'dead'), { recursive: true })
  rmSync(join(many, 'plain'), { recursive: true })
  t.same((await runCommand(['hostname'], { connect: many })).errors, [
    'failed to get hostname',
    'failed to connect to the hypervisor',
    'no guest of this connection runs'
  ])
})

const head = (status: number, length: number | string) =>
  `HTTP/1.1 ${status} Any\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n`
const raw =
  (text: string) =>
  ({ socket }: IncomingMessage) =>
    void socket.end(text)

/** Ways to answer that no daemon has, and what is said of each. */
const MISBEHAVIOUR: Record<string, [(request: IncomingMessage, reply: ServerResponse) => void, RegExp]> = {
  'closes at once': [({ socket }) => void socket.destroy(), /^Failed to connect socket to '.*': socket hang up$/],
  'is no HTTP': [raw('hello\r\n\r\n'), /Parse Error/],
  'answers nothing': [raw(head(200, 0)), /not JSON/],
  'answers no JSON': [raw(`${head(200, 5)}hello`), /not JSON/],
  'answers half of it': [raw(`${head(200, 100)}{"guests":`), /broke off/],
  'answers another thing': [raw(`${head(200, 2)}[]`), /guests/],
  'answers null': [raw(`${head(200, 4)}null`), /guests/],
  'fails without words': [raw(`${head(500, 0)}`), /500/],
  'fails with other words': [raw(`${head(502, 11)}Bad Gateway`), /502/],
  'fails with half an error': [raw(`${head(500, 60)}{"code":1,"mess`), /broke off/],
  'fails with null': [raw(`${head(500, 4)}null`), /500/]
}

for (const [what, [instead, words]] of Object.entries(MISBEHAVIOUR)) {
  await t.test(`a daemon that ${what}`, async t => {
    api.instead = instead
    t.teardown(() => {
      api.instead = undefined
    })
    const { out, errors } = await run(['list'])
    t.equal(out, '')
    t.equal(errors?.[0], 'failed to connect to the hypervisor')
    t.match(errors?.[1], words)
  })
}

/** Runs the program itself; settles when it has ended. */
async function program(...words: string[]): Promise<{ status: number | null; out: string; err: string }> {
  const child = spawn('bin/virshim', ['-c', api.socket, ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
  const said = { out: '', err: '' }
  child.stdout.on('data', chunk => {
    said.out += chunk
  })
  child.stderr.on('data', chunk => {
    said.err += chunk
  })
  const status = await new Promise<number | null>(done => child.once('close', done))
  return { status, ...said }
}

t.test('the event stream: what is no event is passed over, its end is the end', async t => {
  const dom = { name: 'tiny', uuid: GUESTS[0]!.uuid, id: 3 }
  const event = (name: string, data: object, who = dom) =>
    `id: 1\nevent: VIR_DOMAIN_EVENT_ID_${name}\ndata: ${JSON.stringify({ timestampUs: 1, dom: who, ...data })}\n\n`
  const stream = [
    ': comment\n\n',
    ':\n\n',
    'data: {}\n\n',
    event('NOSUCH', {}),
    event('REBOOT', {}, { ...dom, name: 'gäst', uuid: 'other' }),
    event('RTC_CHANGE', { utcoffset: 7 }),
    event('REBOOT', {})
  ].join('')
  api.answers = { guests: { guests: GUESTS } }
  api.instead = (request, reply) => {
    if (request.url !== '/v1/events') return void reply.end(JSON.stringify({ guests: GUESTS }))
    reply.writeHead(200, { 'content-type': 'text/event-stream' })
    // in pieces, as they come over a socket
    const bytes = Buffer.from(stream)
    for (let at = 0; at < bytes.length; at += 7) reply.write(bytes.subarray(at, at + 7))
    reply.end()
  }
  t.teardown(() => {
    api.instead = undefined
  })
  t.same(await run(['event', 'tiny', '--all']), {
    out: "event 'rtc-change' for domain 'tiny': 7\nevents received: 1\n"
  })
  t.same(await run(['event', 'tiny', '--all', '--loop']), {
    out: "event 'rtc-change' for domain 'tiny': 7\nevent 'reboot' for domain 'tiny'\nevents received: 2\n"
  })
  t.same(await run(['event', '--event', 'reboot', '--loop']), {
    out: "event 'reboot' for domain 'gäst'\nevent 'reboot' for domain 'tiny'\nevents received: 2\n"
  })
  t.same(await run(['event', '--event', 'watchdog']), { out: 'events received: 0\n', errors: [] })
  t.same(
    await program('event', '--all'),
    { status: 0, out: "event 'reboot' for domain 'gäst'\nevents received: 1\n\n", err: '' },
    'and the program ends'
  )
})

t.test('events that cannot be had: the program says so and ends', async t => {
  api.instead = MISBEHAVIOUR['closes at once']![0]
  t.teardown(() => {
    api.instead = undefined
  })
  const { status, err } = await program('event', '--all')
  t.equal(status, 1)
  t.match(err, /^error: Failed to connect socket to '.*': socket hang up\n$/)
  api.instead = raw(`${head(404, 2)}{}`)
  t.same(await program('event', '--all'), { status: 1, out: '\n', err: 'error: no events: HTTP status 404\n' })
})

t.test('the program tells a failure in lines, without a stack', async t => {
  for (const what of ['answers no JSON', 'answers half of it', 'fails without words', 'fails with null']) {
    api.instead = MISBEHAVIOUR[what]![0]
    const { status, err } = await program('hostname')
    t.equal(status, 1, what)
    t.match(err, /^error: failed to get hostname\nerror: [^\n]+\n$/, what)
  }
  api.instead = undefined
})
