// Requests that are broken, hostile or wrong: libvirt's error and an HTTP status, and the guest and its API live on.
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { leftovers } from '../helper/refusal.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

const RUNNING = 1
const VIR_ERR_INVALID_ARG = 8
const VIR_ERR_OPERATION_DENIED = 29
const VIR_ERR_RPC = 39
const VIR_ERR_NO_DOMAIN = 42
const MiB = 1024 * 1024

const shim = new Shim(bareGuest('t-bad-http'))
const exited = shim.start()
await shim.untilState(RUNNING)

/** Sends bytes as they are; gives what comes back until the server closes or the time is up. */
async function raw(text: string | Buffer, limitMs = 10_000): Promise<string> {
  const socket = connect(join(shim.root, 'api.sock'))
  let answer = ''
  socket.on('data', chunk => {
    answer += chunk
  })
  socket.on('error', () => undefined)
  const closed = new Promise(resolve => socket.once('close', resolve))
  socket.write(text)
  await Promise.race([closed, sleep(limitMs, undefined, { ref: false })])
  socket.destroy()
  return answer
}

/** A request as text; the connection ends with it. */
function http(line: string, headers: string[] = [], body = ''): string {
  const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]
  return `${[`${line} HTTP/1.1`, 'Host: shim', 'Connection: close', ...length, ...headers].join('\r\n')}\r\n\r\n${body}`
}

const post = (body: string, ...headers: string[]) =>
  http('POST /v1/virDomainGetXMLDesc', ['Content-Type: application/json', ...headers], body)

t.test('calls with wrong arguments', async t => {
  const cases: [name: string, api: string, args: object | undefined, status: number, code: number, message: RegExp][] =
    [
      ['unknown API', 'virDomainNope', {}, 404, VIR_ERR_RPC, /virDomainNope/],
      ['a name of JavaScript', 'constructor', {}, 404, VIR_ERR_RPC, /constructor/],
      ['unknown path', '/v2/virDomainGetInfo', undefined, 404, VIR_ERR_RPC, /\/v2\/virDomainGetInfo/],
      ['unknown domain', 'domains/nobody/virDomainGetInfo', {}, 404, VIR_ERR_NO_DOMAIN, /nobody/],
      ['a domain that is a path', 'domains/..%2f..%2fetc/virDomainGetInfo', {}, 404, VIR_ERR_NO_DOMAIN, /etc/],
      [
        'a longer domain name than can be',
        `domains/${'n'.repeat(5000)}/virDomainGetInfo`,
        {},
        414,
        VIR_ERR_INVALID_ARG,
        /n+/
      ],
      ['array as body', 'virDomainGetXMLDesc', [], 400, VIR_ERR_INVALID_ARG, /virDomainGetXMLDesc must be an object/],
      ['unknown parameter', 'virDomainGetXMLDesc', { colour: 1 }, 400, VIR_ERR_INVALID_ARG, /no parameter 'colour'/],
      ['JavaScript prototype', 'virDomainSetTime', JSON.parse('{"__proto__":{"seconds":1}}'), 400, 8, /__proto__/],
      ['parameter left out', 'virDomainGetBlockInfo', {}, 400, VIR_ERR_INVALID_ARG, /lacks parameter 'disk'/],
      ['string for a number', 'virDomainSetTime', { seconds: '64' }, 400, VIR_ERR_INVALID_ARG, /seconds.*"64"/],
      [
        'null for a number',
        'virDomainSendKey',
        { codeset: null, holdtime: 1, keycodes: [30] },
        400,
        VIR_ERR_INVALID_ARG,
        /codeset.*null|lacks parameter 'codeset'/
      ],
      ['fraction', 'virDomainSetTime', { seconds: 1.5 }, 400, VIR_ERR_INVALID_ARG, /seconds.*1\.5/],
      [
        'negative number',
        'virDomainSendKey',
        { codeset: 0, holdtime: -1, keycodes: [30] },
        400,
        VIR_ERR_INVALID_ARG,
        /holdtime.*-1/
      ],
      ['object for a string', 'virDomainGetBlockInfo', { disk: {} }, 400, VIR_ERR_INVALID_ARG, /disk must be a string/],
      ['NUL in a string', 'virDomainGetBlockInfo', { disk: 'a\0b' }, 400, VIR_ERR_INVALID_ARG, /disk.*NUL/],
      ['too long a string', 'virDomainGetBlockInfo', { disk: 'd'.repeat(5 * MiB) }, 400, 8, /disk.*longer/],
      ['unknown flag', 'virDomainGetXMLDesc', { flags: ['VIR_NOPE'] }, 400, VIR_ERR_INVALID_ARG, /VIR_NOPE/],
      ['unknown flag bit', 'virDomainGetXMLDesc', { flags: 1 << 20 }, 400, VIR_ERR_INVALID_ARG, /0x100000/],
      ['flags beyond 32 bits', 'virDomainGetXMLDesc', { flags: 2 ** 40 }, 400, VIR_ERR_INVALID_ARG, /flags/],
      ['flag in the wrong type', 'virDomainGetXMLDesc', { flags: [[1]] }, 400, VIR_ERR_INVALID_ARG, /flags/],
      ['GET of what changes', 'virDomainSuspend', undefined, 405, VIR_ERR_OPERATION_DENIED, /virDomainSuspend/],
      ['wrong query', 'virDomainGetXMLDesc?colour=1', undefined, 400, VIR_ERR_INVALID_ARG, /colour/],
      [
        'a query parameter of JavaScript',
        'virDomainIsActive?__proto__=x',
        undefined,
        400,
        8,
        /no parameter '__proto__'/
      ],
      ['another of them', 'virDomainIsActive?constructor=x', undefined, 400, 8, /no parameter 'constructor'/],
      [
        'the same parameter twice',
        'virDomainGetXMLDesc?flags=1&flags=2',
        undefined,
        400,
        8,
        /'flags' .* more than once/
      ],
      ['twice where it is polled', '/v1/report?since=1&since=2', undefined, 400, 8, /'since' .* more than once/],
      ['twice for events', '/v1/events?since=1&since=2', undefined, 400, 8, /'since' .* more than once/],
      ['wrong since', '/v1/report?since=yesterday', undefined, 400, VIR_ERR_INVALID_ARG, /since.*yesterday/],
      ['wrong event id', '/v1/events?since=-1', undefined, 400, VIR_ERR_INVALID_ARG, /since.*-1/]
    ]
  for (const [name, api, args, status, code, message] of cases) {
    t.match(await shim.call(api, args), { status, body: { code, message } }, name)
  }
})

t.test('a read-only socket', async t => {
  const denied = { status: 403, body: { code: VIR_ERR_OPERATION_DENIED, message: /read only/ } }
  t.match(await shim.call('virDomainDestroy', {}, 'api-ro.sock'), denied, 'refuses what changes')
  t.match(await shim.call('virDomainGetXMLDesc', { flags: 1 }, 'api-ro.sock'), { status: 403 }, 'keeps secrets')
  for (const flags of [8, 9, ['VIR_DOMAIN_XML_MIGRATABLE']]) {
    const asked = shim.call('virDomainGetXMLDesc', { flags }, 'api-ro.sock')
    t.match(await asked, { status: 403, body: { message: /with secure flag/ } }, 'which migratable XML has as well')
  }
  t.match(await shim.call('shim-detach', {}, 'api-ro.sock'), { status: 404 }, 'does not detach')
  t.match(await shim.call('virDomainGetInfo', {}, 'api-ro.sock'), { status: 200 }, 'answers what reads')
})

t.test('bodies and headers', async t => {
  const cases: [name: string, request: string | Buffer, answer: RegExp][] = [
    [
      'body over the limit',
      http('POST /v1/virDomainGetXMLDesc', [`Content-Length: ${9 * MiB}`]),
      /^HTTP\/1.1 413.*"code":8.*too large/s
    ],
    ['invalid JSON', post('{"flags":'), /^HTTP\/1.1 400.*"code":8.*not JSON/s],
    ['JSON with a tail', post('{} {}'), /^HTTP\/1.1 400.*not JSON/s],
    ['string as body', post('"flags"'), /^HTTP\/1.1 400.*must be an object/s],
    ['null as body', post('null'), /^HTTP\/1.1 400.*must be an object/s],
    ['a number of too many digits', post(`{"flags":1${'0'.repeat(400)}}`), /^HTTP\/1.1 400.*flags/s],
    ['deeply nested body', post(`{"flags":${'['.repeat(1e5)}${']'.repeat(1e5)}}`), /^HTTP\/1.1 400.*"code":8/s],
    [
      'deep and with long numbers',
      post(`{"flags":${'['.repeat(1e5)}12345678901234567890${']'.repeat(1e5)}}`),
      /^HTTP\/1.1 400/
    ],
    ['an array with a hole', post('{"flags":[,]}'), /^HTTP\/1.1 400.*not JSON/s],
    ['wrong method', http('DELETE /v1/virDomainGetInfo'), /^HTTP\/1.1 40[45]/],
    [
      'other content type',
      http('POST /v1/virDomainGetInfo', ['Content-Type: text/xml'], '<domain/>'),
      /^HTTP\/1.1 400.*"code":8.*not JSON/s
    ],
    ['no HTTP at all', 'SSH-2.0-OpenSSH_9.2\r\n\r\n', /^HTTP\/1.1 400/],
    ['TLS', Buffer.from('160301020001000001fc0303', 'hex'), /^HTTP\/1.1 400/],
    ['header garbage', http('GET /healthz', ['\x01\x02 : \x03']), /^HTTP\/1.1 400/],
    ['headers over the limit', http('GET /healthz', [`X-Big: ${'x'.repeat(100_000)}`]), /^HTTP\/1.1 431/],
    ['two lengths', post('{}', 'Content-Length: 7'), /^HTTP\/1.1 400/],
    ['length and chunks', post('{}', 'Transfer-Encoding: chunked'), /^HTTP\/1.1 400/],
    [
      'bad chunk size',
      http('POST /v1/virDomainGetInfo', ['Transfer-Encoding: chunked'], '').concat('zz\r\n'),
      /^HTTP\/1.1 400/
    ],
    ['broken escape in the path', http('GET /v1/%zz'), /^HTTP\/1.1 400/],
    [
      'WebSocket to what is no stream',
      http('GET /v1/virDomainGetInfo', ['Connection: Upgrade', 'Upgrade: websocket']),
      /^HTTP\/1.1 400.*stream/s
    ]
  ]
  for (const [name, request, answer] of cases) t.match(await raw(request), answer, name)
})

t.test('requests that pages of other sites have a browser send', async t => {
  const denied = /^HTTP\/1.1 403.*"code":88.*pages from/s
  const form = 'Content-Type: application/x-www-form-urlencoded'
  const page = 'Origin: http://page.example'
  const suspend = (...headers: string[]) => http('POST /v1/virDomainSuspend', headers, '{}')
  const cases: [name: string, request: string, answer: RegExp][] = [
    ['a script', suspend(page, 'Content-Type: application/json'), denied],
    ['a sandboxed page', suspend('Origin: null'), denied],
    ['a read', http('GET /v1/virDomainGetInfo', [page]), denied],
    ['what is polled', http('GET /v1/report', [page]), denied],
    ['events', http('GET /v1/events', [page]), denied],
    ['a console', http('GET /v1/virDomainOpenConsole', ['Connection: Upgrade', 'Upgrade: websocket', page]), denied],
    ['text', suspend('Content-Type: text/plain'), /^HTTP\/1.1 400.*"code":8.*not JSON/s],
    ['files', suspend('Content-Type: multipart/form-data; boundary=x'), /^HTTP\/1.1 400.*not JSON/s],
    ['a form of a page', suspend(form, 'Sec-Fetch-Site: cross-site'), /^HTTP\/1.1 400.*not JSON/s]
  ]
  for (const [name, request, answer] of cases) t.match(await raw(request), answer, name)
  t.equal((await shim.call('virDomainGetState')).body.state, RUNNING)
  for (const headers of [[], [form], ['Content-Type: application/json;charset=UTF-8', 'Origin: http://shim']]) {
    t.match(await raw(http('POST /v1/virDomainGetInfo', headers, '{}')), /^HTTP\/1.1 200/, headers.join())
  }
})

t.test('a client that never finishes its request holds up nobody and is let go', async t => {
  const began = Date.now()
  const slow = Promise.all([
    raw('POST /v1/virDomainGetInfo HTTP/1.1\r\nHost: sh', 60_000),
    raw(http('POST /v1/virDomainGetInfo', ['Content-Type: application/json', 'Content-Length: 100']), 60_000)
  ])
  t.match(await shim.call('virDomainGetInfo'), { status: 200 })
  const answers = await slow
  t.ok(Date.now() - began < 45_000, `let go after ${Date.now() - began} ms`)
  for (const answer of answers) t.match(answer, /^HTTP\/1.1 408/)
})

t.test('clients that vanish in the middle of an answer', async t => {
  for (let i = 0; i < 50; i++) void raw(http('GET /v1/virDomainGetXMLDesc'), i % 5)
  t.match(await shim.call('virDomainGetInfo'), { status: 200 })
})

t.test('after all that the guest runs, and ends in order', async t => {
  t.equal((await shim.call('virDomainGetState')).body.state, RUNNING)
  t.notMatch(shim.stderr, /"level":(50|60)|^ {4}at /m, 'no error was logged')
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
  t.same(leftovers(shim.root, 't-bad-http'), [])
})

t.teardown(() => shim.end())
