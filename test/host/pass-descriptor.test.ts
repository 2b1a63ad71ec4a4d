// A connection handed to another program over a Unix socket.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { passDescriptor, socketPair } from '../../src/host/pass-descriptor.ts'

/** Reads what came before, receives a connection with a byte, and speaks over it. */
const RECEIVER = `
import array, os, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
head = s.recv(4, socket.MSG_WAITALL)
byte, [(_, _, fds)], _, _ = s.recvmsg(1, socket.CMSG_SPACE(4))
got = socket.socket(fileno=array.array('i', fds)[0])
print(head, byte, os.get_blocking(got.fileno()), got.recv(100), flush=True)
got.send(b'back')
`

t.test('a connection and what goes before it', async t => {
  for (const [byte, shown] of [
    [0, "b'\\x00'"],
    [32, "b' '"]
  ] as const) {
    const dir = mkdtempSync(join(tmpdir(), 'virshim-pass-'))
    t.teardown(() => rmSync(dir, { recursive: true }))
    const path = join(dir, 'socket')
    const server = createServer({ allowHalfOpen: true }).listen(path)
    t.teardown(() => server.close())
    const receiver = spawn('python3', ['-c', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [socket] = (await once(server, 'connection')) as [Socket]
    const [ours, theirs] = await socketPair(dir)
    socket.write('HEAD')
    await passDescriptor(socket, theirs, byte)
    theirs.destroy()
    const back = once(ours, 'data')
    ours.write('hello')
    const [said] = await once(createInterface(receiver.stdout), 'line')
    t.equal(said, `b'HEAD' ${shown} True b'hello'`)
    ours.resume()
    t.equal(String((await back)[0]), 'back')
    t.same(
      readdirSync(dir).filter(name => name !== 'socket'),
      [],
      'no socket stays'
    )
    ours.destroy()
    socket.destroy()
  }
})

t.test('a receiver who has gone', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-pass-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const [ours, gone] = await socketPair(dir)
  const [one, other] = await socketPair(dir)
  for (const socket of [ours, one, other]) socket.on('error', () => undefined)
  gone.destroy()
  await once(gone, 'close')
  await t.rejects(passDescriptor(ours, other))
  for (const socket of [ours, one, other]) socket.destroy()
})
