// HTTP between shims and the aggregator, with a peer that is none.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { AnswerReader, ask, formatAnswer, formatRequest, pathOfRequest } from '../../src/server/raw-http.ts'

const KiB = 1024
const head = (...lines: string[]) => `${['HTTP/1.1 200 OK', ...lines].join('\r\n')}\r\n\r\n`

/** What a reader makes of pieces: the answer, nothing yet, or the error. */
function read(...pieces: (string | Buffer)[]): unknown {
  const reader = new AnswerReader()
  try {
    let answer: unknown
    for (const piece of pieces) answer = reader.push(Buffer.from(piece))
    return answer
  } catch (error) {
    return (error as Error).message
  }
}

t.test('answers, whole and in pieces', async t => {
  const answer = formatAnswer('{"ä":1}')
  const bytes = Buffer.from(answer)
  t.same(read(answer), { status: 200, body: '{"ä":1}' })
  for (let cut = 1; cut < bytes.length; cut++) {
    t.same(read(bytes.subarray(0, cut), bytes.subarray(cut)), { status: 200, body: '{"ä":1}' }, `cut at ${cut}`)
  }
  t.same(read(...Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))), { status: 200, body: '{"ä":1}' })
  t.same(read(formatAnswer(undefined)), { status: 304, body: '' })
})

t.test('one after the other on one connection', async t => {
  const reader = new AnswerReader()
  for (const body of ['1', '', '333']) {
    t.same(reader.push(Buffer.from(formatAnswer(body))), { status: 200, body })
  }
  t.equal(reader.push(Buffer.from('HTTP')), undefined)
  t.same(reader.push(Buffer.from('/1.1 204 No\r\n\r\n')), { status: 204, body: '' })
})

t.test('what is no answer, or not the one that was asked for', async t => {
  const cases: [pieces: string[], said: unknown][] = [
    [[''], undefined],
    [['HTTP/1.1 200 OK\r\n'], undefined],
    [[head('Content-Length: 5'), 'abcd'], undefined],
    [[head('Content-Length: 0')], { status: 200, body: '' }],
    [[head('content-LENGTH:3'), 'abc'], { status: 200, body: 'abc' }],
    [[head('X: Content-Length: 9', 'Content-Length: 1'), 'a'], { status: 200, body: 'a' }],
    [['HTTP/1.1 500 Oops\r\nContent-Length: 1\r\n\r\nx'], { status: 500, body: 'x' }],
    [[head('Content-Length: 1'), 'ab'], 'more than one answer to one request'],
    [[formatAnswer('1') + formatAnswer('2')], 'more than one answer to one request'],
    [['HTTP/1.1 304 Not\r\n\r\nx'], 'more than one answer to one request'],
    [['hello\r\n\r\n'], 'not an HTTP answer'],
    [['HTTP/1.0 200 OK\r\n\r\n'], 'not an HTTP answer'],
    [['HTTP/1.1 20 OK\r\n\r\n'], 'not an HTTP answer'],
    [['\r\n\r\n'], 'not an HTTP answer'],
    [[head()], 'an answer without a length, or too long'],
    [[head('Content-Length: -1')], 'an answer without a length, or too long'],
    [[head('Content-Length: 99999999999999999999')], 'an answer without a length, or too long'],
    [[head('Content-Length: 8388609')], 'an answer without a length, or too long'],
    [[head('Transfer-Encoding: chunked'), '1\r\na\r\n0\r\n\r\n'], 'an answer without a length, or too long'],
    [['x'.repeat(16 * KiB)], undefined],
    [['x'.repeat(16 * KiB + 1)], 'the head of an answer is too long'],
    [Array(5).fill('x'.repeat(4 * KiB)), 'the head of an answer is too long']
  ]
  for (const [pieces, said] of cases) t.same(read(...pieces), said, JSON.stringify(pieces).slice(0, 60))
})

t.test('the path of a request, of our own form only', async t => {
  const cases: [request: string, path: string | undefined][] = [
    [formatRequest('GET', '/v1/report?since=1&wait=2'), '/v1/report?since=1&wait=2'],
    [formatRequest('POST', '/v1/x', '{}'), undefined],
    [formatRequest('GET', 'v1/report'), undefined],
    [formatRequest('GET', '/a b'), undefined],
    [`${formatRequest('GET', '/a')}${formatRequest('GET', '/b')}`, undefined],
    ['GET /a HTTP/1.1\r\nHost: x\r\n\r\n', undefined],
    ['GET /a HTTP/1.1\nHost: virshim\n\n', undefined],
    ['GET /a HTTP/1.1\r\nHost: virshim\r\n', undefined],
    [formatRequest('GET', `/${'a'.repeat(17 * KiB)}`), undefined],
    ['', undefined]
  ]
  for (const [request, path] of cases) t.equal(pathOfRequest(Buffer.from(request)), path, request.slice(0, 50))
  t.equal(formatRequest('POST', '/x', 'ä').split('\r\n')[3], 'Content-Length: 2', 'bytes, not characters')
})

t.test('asking who does not answer as it should', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-raw-'))
  const path = join(dir, 'sock')
  let behave: (socket: Socket, request: string) => void = () => {}
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', request => behave(socket, String(request)))
  })
  await new Promise<void>(done => server.listen(path, done))
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
    rmSync(dir, { recursive: true, force: true })
  })
  const asked = (timeoutMs = 60_000) =>
    ask(path, { method: 'GET', path: '/x', timeoutMs }).catch((error: Error) => error.message)
  behave = (socket, request) => socket.write(formatAnswer(JSON.stringify(request)))
  t.same(await asked(), { status: 200, body: JSON.stringify(formatRequest('GET', '/x')) })
  behave = socket => socket.destroy()
  t.equal(await asked(), 'the connection was closed before the answer')
  behave = socket => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf')
  t.equal(await asked(), 'the connection was closed before the answer')
  behave = socket => socket.end('SSH-2.0-x\r\n\r\n')
  t.equal(await asked(), 'not an HTTP answer')
  behave = () => undefined
  t.equal(await asked(20), 'no answer within 20 ms')
  t.match(await ask(join(dir, 'none'), { method: 'GET', path: '/', timeoutMs: 1 }).catch(error => error), {
    code: 'ENOENT'
  })
})
