// Files of the host handed to another program over a Unix socket.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { passableFile } from '../../src/host/pass-file.ts'

/** Receives so many files, each with a byte, and writes to them; it says what they are. */
const TAKER = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
for _ in range(int(sys.argv[2])):
    byte, [fd], _, _ = socket.recv_fds(s, 1, 1)
    print(byte.decode(), os.readlink(f'/proc/self/fd/{fd}'), flush=True)
    if os.path.isfile(f'/proc/self/fd/{fd}'): os.write(fd, b'taken')
print(s.recv(4).decode(), end='')
`

async function taker(t: Test, count: number) {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-pass-file-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const path = join(dir, 'socket')
  const server = createServer({ pauseOnConnect: true }).listen(path)
  const child = spawn('/usr/bin/python3', ['-c', TAKER, path, String(count)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [socket] = (await once(server, 'connection')) as [Socket]
  server.close()
  t.teardown(() => socket.destroy())
  let said = ''
  child.stdout.on('data', data => {
    said += data
  })
  return { dir, socket, ended: once(child, 'close').then(() => said) }
}

const open = () => readdirSync('/proc/self/fd').length

t.test('files are opened when they are passed, and closed', async t => {
  const { dir, socket, ended } = await taker(t, 2)
  const path = join(dir, 'file')
  writeFileSync(path, '')
  const before = open()
  socket.write('')
  await passableFile(path).passTo(socket, 0x20)
  await passableFile('/dev/null').passTo(socket, 0x21)
  t.equal(open(), before)
  socket.write('tail')
  t.equal(await ended, `  ${path}\n! /dev/null\ntail`)
  t.equal(readFileSync(path, 'utf8'), 'taken')
})

t.test('what cannot be passed', async t => {
  const { socket, ended } = await taker(t, 0)
  const code = 'VIR_ERR_SYSTEM_ERROR'
  await t.rejects(passableFile('/nowhere').passTo(socket), {
    code,
    message: "Failed to open file '/nowhere': No such file or directory"
  })
  // the kernel knows no such kind of device
  await t.rejects(passableFile({ tap: 'virshim-none', flags: 0 }).passTo(socket), {
    code,
    message: "Unable to send tap device 'virshim-none': Invalid argument"
  })
  socket.write('tail')
  t.equal(await ended, 'tail', 'nothing was sent')
  await once(socket.resume(), 'close')
  await t.rejects(passableFile('/dev/null').passTo(socket))
})
