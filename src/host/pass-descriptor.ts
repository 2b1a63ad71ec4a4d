// Open files handed to another process over a Unix socket (SCM_RIGHTS). Node.js itself passes them between its own
// processes alone, so a child of ours that has both as descriptors writes the one byte a file travels with. It takes
// some 50 ms and is started only when a file is passed.
import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { errorsFrom } from '../conf/error.ts'
import { randomUUID } from '../conf/random.ts'

const fail = errorsFrom('VIR_FROM_RPC')

const LIMIT_MS = 30_000

/** Run by the child: writes the byte argv[1] to the socket that is its descriptor 3, with its descriptor 4. */
const SENDER = `
const { Pipe, constants } = process.binding('pipe_wrap')
const { WriteWrap } = process.binding('stream_wrap')
const socket = new Pipe(constants.IPC)
const file = new Pipe(constants.SOCKET)
socket.open(3)
file.open(4)
// whoever gets it may not reckon with one that does not wait
file.setBlocking(true)
const written = new WriteWrap()
written.oncomplete = status => process.exit(status === 0 ? 0 : 1)
const error = socket.writeUtf8String(written, String.fromCharCode(process.argv[1]), file)
if (error !== 0) process.exit(2)
if (!written.async) process.exit(0)
`

/**
 * Hands a connection to whoever reads from `socket`, with one byte. What was written to `socket` before goes first;
 * nothing else may be written until it is done.
 * @param byte travels with the file, below 128
 * @throws VIR_ERR_SYSTEM_ERROR when it cannot be passed
 */
export async function passDescriptor(socket: Socket, file: Socket, byte = 0): Promise<void> {
  await flushed(socket)
  const isRead = !socket.isPaused()
  const args = ['--no-deprecation', '-e', SENDER, String(byte)]
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'ignore', socket, file],
    env: {},
    timeout: LIMIT_MS
  })
  // spawning has stopped it
  if (isRead) socket.resume()
  const status = await ended(child)
  if (status !== 0) throw fail('VIR_ERR_SYSTEM_ERROR', `Unable to send file descriptor: sender ended with ${status}`)
}

/** Waits until a child that shares the socket may write: what waits here would come behind that. */
export function flushed(socket: Socket): Promise<void> {
  return new Promise((done, refuse) => socket.write('', error => (error ? refuse(error) : done())))
}

function ended(child: ChildProcess): Promise<number | string> {
  return new Promise(done => {
    child.once('error', error => done(error.message))
    child.once('exit', (code, signal) => done(code ?? signal ?? 'nothing'))
  })
}

/** Two connected sockets, as socketpair(2) gives them; neither is read until somebody wants to. @param directory ours alone, for the moment it takes */
export function socketPair(directory: string): Promise<[Socket, Socket]> {
  const path = join(directory, `.pair-${randomUUID().slice(0, 8)}`)
  return new Promise((done, refuse) => {
    const server = createServer({ pauseOnConnect: true }, accepted => {
      server.close()
      done([first, accepted])
    })
    server.once('error', refuse)
    let first: Socket
    server.listen(path, () => {
      first = connect(path).pause()
      first.once('error', refuse)
      first.once('connect', () => rmSync(path, { force: true }))
    })
  })
}
