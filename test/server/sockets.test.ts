// A daemon's sockets: who may use them, when they can be found, what becomes of clients.
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type ServeOptions, type Service, serve } from '../../src/server/sockets.ts'

const logged: string[] = []
const log = {
  debug() {},
  info() {},
  warn() {},
  error(_: object, message: string) {
    logged.push(message)
  }
}

function scene(t: Test) {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-sockets-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return { dir, path: join(dir, 'api.sock') }
}

/** Echoes in upper case; its close settles when told so. */
class Echo implements Service {
  readonly sockets = new Set<Socket>()
  closing: Promise<void> = Promise.resolve()
  closed = 0

  accept(socket: Socket): void {
    this.sockets.add(socket)
    socket.on('data', chunk => socket.write(String(chunk).toUpperCase()))
  }

  async close(): Promise<void> {
    this.closed++
    await this.closing
    for (const socket of this.sockets) socket.destroy()
  }
}

async function open(t: Test, path: string, service: Service | Error, options?: ServeOptions) {
  let loads = 0
  const load = async () => {
    loads++
    if (service instanceof Error) throw service
    return service
  }
  const sockets = await serve(log, [{ path, load }], options)
  t.teardown(() => sockets.close())
  return { sockets, loads: () => loads }
}

/** What a client hears until the other side closes, or has said so many bytes. */
function said(path: string, text: string, bytes = Number.POSITIVE_INFINITY): Promise<string> {
  return new Promise(done => {
    const socket = connect(path)
    let heard = ''
    socket.on('data', chunk => {
      heard += chunk
      if (heard.length >= bytes) socket.destroy()
    })
    socket.on('error', error => {
      heard += (error as NodeJS.ErrnoException).code
    })
    socket.on('close', () => done(heard))
    socket.write(text)
  })
}

t.test('a socket is its owner’s alone, whatever the mask, and the mask stays as it was', async t => {
  const { dir, path } = scene(t)
  const before = process.umask(0)
  t.teardown(() => process.umask(before))
  await open(t, path, new Echo())
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(process.umask(), 0)
  t.same(readdirSync(dir), ['api.sock'], 'and no other name is left')
})

t.test('what was left at the path, or on the way to it, is replaced', async t => {
  const { path } = scene(t)
  for (const name of [path, `${path}.new`]) writeFileSync(name, 'left')
  await open(t, path, new Echo())
  t.equal(await said(path, 'abc', 3), 'ABC')
})

t.test('a path that cannot be is an error, and the mask stays as it was', async t => {
  const { dir } = scene(t)
  const mask = process.umask()
  await t.rejects(open(t, join(dir, 'nowhere/api.sock'), new Echo()), { code: /EACCES|ENOENT/ })
  t.equal(process.umask(), mask)
})

t.test('the service is loaded for the first client, once; all bytes reach it', async t => {
  const { path } = scene(t)
  let connects = 0
  const { loads } = await open(t, path, new Echo(), { onConnect: () => connects++ })
  t.equal(loads(), 0)
  t.same(await Promise.all(['a', 'b', 'c'].map(text => said(path, text, 1))), ['A', 'B', 'C'])
  t.same([loads(), connects], [1, 3])
})

t.test('a service that cannot be loaded: clients are let go, and it is logged', async t => {
  const { path } = scene(t)
  logged.length = 0
  await open(t, path, new Error('no such module'))
  t.match(await said(path, 'abc'), /^(ECONNRESET|EPIPE)?$/)
  t.same(logged, ['what serves this socket cannot be loaded'])
})

t.test('hidden and shown again; who is connected does not notice', async t => {
  const { path } = scene(t)
  const { sockets } = await open(t, path, new Echo())
  const inside = connect(path)
  t.teardown(() => inside.destroy())
  const heard = () => new Promise<string>(done => inside.once('data', chunk => done(String(chunk))))
  inside.write('a')
  t.equal(await heard(), 'A')
  sockets.hide()
  t.notOk(existsSync(path))
  t.equal(await said(path, 'x'), 'ENOENT')
  inside.write('b')
  t.equal(await heard(), 'B')
  sockets.show()
  t.equal(await said(path, 'c', 1), 'C')
})

t.test('closing removes the sockets at once, hidden ones too, and waits for answers', async t => {
  for (const isHidden of [false, true]) {
    const { dir, path } = scene(t)
    const echo = new Echo()
    let answered = () => {}
    echo.closing = new Promise(done => {
      answered = done
    })
    const { sockets } = await open(t, path, echo)
    t.equal(await said(path, 'a', 1), 'A')
    if (isHidden) sockets.hide()
    let isClosed = false
    const closing = sockets.close().then(() => {
      isClosed = true
    })
    t.same(readdirSync(dir), [])
    await new Promise(setImmediate)
    t.same([isClosed, echo.closed], [false, 1])
    answered()
    await closing
    t.ok(isClosed)
  }
})

t.test('a service that never ends does not keep the daemon', async t => {
  const { path } = scene(t)
  const echo = new Echo()
  echo.closing = new Promise(() => {})
  const { sockets } = await open(t, path, echo)
  t.equal(await said(path, 'a', 1), 'A')
  await t.resolves(sockets.close())
})

t.test('a daemon without clients closes without loading anything', async t => {
  const { path } = scene(t)
  const { sockets, loads } = await open(t, path, new Echo())
  await sockets.close()
  t.equal(loads(), 0)
})
