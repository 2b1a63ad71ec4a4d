// Files of another program's, received, looked at, handed on and dropped.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { ReceivedFiles } from '../../src/host/received-files.ts'

/** Connects and sends words to its standard input's reader: `file`, `socket`, `both`, or `byte` alone. */
const SENDER = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
ours, theirs = socket.socketpair()
null = open(os.devnull)
for word in sys.argv[2:]:
    files = {'file': [null], 'socket': [theirs], 'both': [null, theirs], 'byte': []}[word]
    (socket.send_fds if files else lambda s, data, _: s.sendmsg(data))(s, [b'x'], [f.fileno() for f in files])
theirs.close()
s.shutdown(socket.SHUT_WR)
print(ours.recv(100).decode(), end='')
`

/** Receives so many files, each with a byte, and says hello over those that are sockets. */
const TAKER = `
import os, socket, stat, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
for _ in range(int(sys.argv[2])):
    byte, [fd], _, _ = socket.recv_fds(s, 1, 1)
    isSocket = stat.S_ISSOCK(os.fstat(fd).st_mode)
    print(byte.decode(), isSocket, end=' ')
    if isSocket: socket.socket(fileno=fd).send(b'hello')
print(s.recv(4).decode(), end='')
`

interface Peer {
  socket: Socket
  /** all it has printed, at its end */
  said: Promise<string>
}

async function peer(t: Test, dir: string, program: string, ...args: string[]): Promise<Peer> {
  const path = join(dir, 'socket')
  const server = createServer({ pauseOnConnect: true }).listen(path)
  const child = spawn('/usr/bin/python3', ['-c', program, path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [socket] = (await once(server, 'connection')) as [Socket]
  server.close()
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  return { socket, said: text(child.stdout) }
}

function directory(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-received-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  return dir
}

const never = new AbortController().signal

t.test('files are received in their order and handed on', async t => {
  const dir = directory(t)
  const from = await peer(t, dir, SENDER, 'file', 'socket', 'file')
  const files = await ReceivedFiles.room(3, dir)
  await files.receive(from.socket, never)
  t.same(
    [0, 1, 2].map(slot => files.at(slot).isSocket),
    [false, true, false]
  )
  t.throws(() => files.at(3), /No FD available at slot 3/)
  const to = await peer(t, dir, TAKER, '3')
  await files.passTo(to.socket)
  files.drop()
  to.socket.write('tail')
  t.equal(await to.said, '\0 False \0 True \0 False tail')
  t.equal(await from.said, 'hello')
  t.same(readdirSync(dir), [], 'no socket stays')
})

t.test('one of several, with a byte of its own', async t => {
  const dir = directory(t)
  const from = await peer(t, dir, SENDER, 'file', 'socket')
  const files = await ReceivedFiles.room(2, dir)
  await files.receive(from.socket, never)
  const to = await peer(t, dir, TAKER, '1')
  to.socket.resume()
  await files.at(1).passTo(to.socket, 0x20)
  t.notOk(to.socket.isPaused(), 'it is read as before')
  files.drop()
  to.socket.write('tail')
  t.equal(await to.said, '  True tail')
  t.equal(await from.said, 'hello')
})

t.test('files that are dropped are closed', async t => {
  const dir = directory(t)
  const from = await peer(t, dir, SENDER, 'socket')
  const files = await ReceivedFiles.room(1, dir)
  await files.receive(from.socket, never)
  files.drop()
  t.equal(await from.said, '', 'the end')
})

for (const [name, sent, announced, message] of [
  ['a byte without a file', ['byte'], 1, /0 descriptors with a byte/],
  ['two files with a byte', ['both'], 2, /2 descriptors with a byte/],
  ['fewer than announced', ['file', 'socket'], 3, /end of file/]
] as const) {
  t.test(name, async t => {
    const dir = directory(t)
    const from = await peer(t, dir, SENDER, ...sent)
    const files = await ReceivedFiles.room(announced, dir)
    await t.rejects(files.receive(from.socket, never), message)
    files.drop()
    t.equal(await from.said, '', 'what came is closed')
  })
}

t.test('a receiver that is not wanted any more', async t => {
  const dir = directory(t)
  const to = await peer(t, dir, TAKER, '0')
  const files = await ReceivedFiles.room(1, dir)
  const abort = new AbortController()
  const receiving = files.receive(to.socket, abort.signal)
  abort.abort()
  await t.rejects(receiving)
  files.drop()
  to.socket.end('tail')
  t.equal(await to.said, 'tail')
})

t.test('no files take no process', async t => {
  const files = await ReceivedFiles.room(0, '/nonexistent')
  await files.receive(undefined as never, never)
  await files.passTo(undefined as never)
  files.drop()
  t.pass()
})
