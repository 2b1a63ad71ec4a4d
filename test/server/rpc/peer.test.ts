// The connection to another host's daemon, over which a guest's shim has its guest moved.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { VirError } from '../../../src/conf/error.ts'
import { writeFields } from '../../../src/server/rpc/codec.ts'
import {
  type Frame,
  FrameReader,
  KEEPALIVE_PROGRAM,
  MessageStatus,
  MessageType,
  makeFrame,
  readerOf,
  writeError
} from '../../../src/server/rpc/frame.ts'
import { openPeer } from '../../../src/server/rpc/peer.ts'
import { findProcedure } from '../../../src/server/rpc/procedures.ts'

const SUPPORTS_FEATURE = 60
const KEEPALIVE_FEATURE = 10
const PONG = 2
const PREPARE_TUNNEL = 304

const dir = mkdtempSync(join(tmpdir(), 'virshim-peer-'))
const path = join(dir, 'sock')
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

/** Questions whether anybody is there come at once. */
const { setInterval: slow } = globalThis
globalThis.setInterval = ((work: () => void) => slow(work, 10)) as typeof setInterval
t.teardown(() => {
  globalThis.setInterval = slow
})

/** The end of a stream that went wrong. */
const brokenStream = (frame: Frame) =>
  makeFrame({ ...frame, type: MessageType.STREAM, status: MessageStatus.ERROR }, to =>
    writeError(new VirError('VIR_FROM_QEMU', 'VIR_ERR_OPERATION_FAILED', 'no room'), to)
  )

/** A daemon that answers all calls alike. */
class Daemon {
  readonly features: number[] = []
  pings = 0
  answersPings = true
  readonly server = createServer(socket => this.#serve(socket))
  #sockets: Socket[] = []

  #serve(socket: Socket): void {
    const reader = new FrameReader()
    this.#sockets.push(socket)
    socket.on('error', () => undefined)
    socket.on('data', chunk => {
      for (const frame of reader.push(chunk)) {
        if (frame.program === KEEPALIVE_PROGRAM) {
          this.pings++
          if (this.answersPings) socket.write(makeFrame({ ...frame, procedure: PONG }))
          continue
        }
        const { ret } = findProcedure(frame.program, frame.procedure)!
        if (frame.procedure === SUPPORTS_FEATURE) this.features.push(readerOf(frame).int())
        const values = Object.fromEntries(ret.map(({ name, type }) => [name, type.includes('<') ? [] : 1]))
        const header = { ...frame, type: MessageType.REPLY, status: MessageStatus.OK }
        const reply = makeFrame(header, to => writeFields(ret, values, to))
        socket.write(frame.procedure === PREPARE_TUNNEL ? Buffer.concat([reply, brokenStream(frame)]) : reply)
      }
    })
  }

  end(): void {
    this.server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}

t.test('a daemon that is gone is missed between two calls', async t => {
  const daemon = new Daemon()
  t.teardown(() => daemon.end())
  await once(daemon.server.listen(path), 'listening')
  const peer = await openPeer(`qemu+unix:///system?socket=${path}`)
  t.teardown(() => peer.close())
  t.same(daemon.features, [KEEPALIVE_FEATURE], 'it is told that we answer, to miss us as well')
  const lost = new Promise<void>(done => peer.onLost(done))
  while (daemon.pings < 20) await new Promise(setImmediate)
  t.notOk(peer.isLost, 'one that answers is there')
  daemon.answersPings = false
  await lost
  t.ok(peer.isLost)
  await t.rejects(peer.supports(1), { code: 'VIR_ERR_OPERATION_FAILED' })
})

t.test('a stream that breaks in the same moment as it opens', async t => {
  const daemon = new Daemon()
  t.teardown(() => daemon.end())
  await once(daemon.server.listen(path), 'listening')
  const peer = await openPeer(`qemu+unix:///system?socket=${path}`)
  t.teardown(() => peer.close())
  const { stream } = await peer.prepareTunnel({ params: {}, flags: 0, cookie: undefined })
  await t.rejects(stream.finish(), { code: 'VIR_ERR_OPERATION_FAILED', message: /no room/ })
})
