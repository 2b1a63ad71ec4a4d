// Streams towards clients that do not read: a live channel cuts them off, a body waits for them.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { VirError } from '../../../src/conf/error.ts'
import type { ByteChannel } from '../../../src/drivers/method.ts'
import { LateLog } from '../../../src/server/log.ts'
import { makeRawFrame } from '../../../src/server/rpc/frame.ts'
import { serveRpc } from '../../../src/server/rpc/server.ts'
import { bodyStream, channelStream } from '../../../src/server/rpc/stream.ts'
import { callHeader, RpcPeer } from '../../helper/rpc.ts'

const MIB = 1024 * 1024

/** A channel and an output whose client has that much to read yet. */
function live(backlog: () => number) {
  const sent: number[] = []
  const errors: VirError[] = []
  const typed: string[] = []
  let closed = 0
  let say: (data: Buffer) => void = () => {}
  let end: (reason: string) => void = () => {}
  let isBehind = false
  let drain = () => {}
  let resumed = 0
  const channel: ByteChannel = {
    write: data => typed.push(String(data)) > 0 && !isBehind,
    onDrain: listener => {
      drain = listener
    },
    onData: listener => {
      say = listener
    },
    onClose: listener => {
      end = listener
    },
    close: () => {
      closed++
    }
  }
  const stream = channelStream(channel)
  stream.open({
    data: chunk => sent.push(chunk.length),
    error: error => errors.push(error),
    backlog,
    resume: () => resumed++
  })
  return {
    ...{ stream, sent, errors, typed, closed: () => closed, resumed: () => resumed },
    say: (data: Buffer) => say(data),
    end: () => end('over'),
    fallBehind: () => {
      isBehind = true
    },
    catchUp: () => {
      isBehind = false
      drain()
    }
  }
}

t.test('a viewer that stops reading a console is cut off once, and hears nothing more', async t => {
  let backlog = 0
  const { stream, sent, errors, typed, closed, say } = live(() => backlog)
  say(Buffer.alloc(10))
  backlog = 5 * MIB
  say(Buffer.alloc(20))
  say(Buffer.alloc(30))
  t.same(sent, [10])
  t.equal(errors.length, 1)
  t.match(errors[0], { code: 'VIR_ERR_RPC', domain: 'VIR_FROM_STREAMS' })
  t.equal(closed(), 1)
  stream.write(Buffer.from('x'))
  t.same(typed, [], 'what it types goes nowhere')
})

t.test('the end of a console is an empty packet, told once', async t => {
  const { stream, sent, closed, say, end } = live(() => 0)
  stream.write(Buffer.from('x'))
  end()
  end()
  say(Buffer.alloc(10))
  t.same(sent, [0])
  t.equal(closed(), 1)
})

t.test('a client that writes faster than the guest reads waits', async t => {
  const { stream, fallBehind, catchUp, resumed, end } = live(() => 0)
  stream.write(Buffer.from('x'))
  t.notOk(stream.isBusy)
  fallBehind()
  stream.write(Buffer.from('x'))
  t.ok(stream.isBusy)
  t.equal(resumed(), 0)
  catchUp()
  t.notOk(stream.isBusy)
  t.equal(resumed(), 1)
  fallBehind()
  stream.write(Buffer.from('x'))
  end()
  t.notOk(stream.isBusy, 'a stream that is over holds nobody up')
  t.equal(resumed(), 2)
})

t.test('so does all of its connection, and no other', async t => {
  const STREAM = 3
  const CONTINUE = 2
  const PACKET = 64 * 1024
  const PACKETS = 128
  const ANY_CALL = 1
  const OPENS = 2
  let got = 0
  let isReading = false
  let drain = () => {}
  let gotAll = () => {}
  const channel: ByteChannel = {
    write(data) {
      got += data.length
      if (got === PACKET * PACKETS) gotAll()
      return isReading
    },
    onData: () => {},
    onDrain: listener => {
      drain = listener
    },
    onClose: () => {},
    close: () => {}
  }
  const service = serveRpc(new LateLog(), () => ({
    call: ({ procedure }) => (procedure === OPENS ? { stream: channelStream(channel) } : {}),
    closed: () => {}
  }))
  const server = createServer(socket => service.accept(socket))
  const dir = mkdtempSync(join(tmpdir(), 'virshim-stream-'))
  const path = join(dir, 'sock')
  await new Promise<void>(resolve => server.listen(path, resolve))
  const [writer, other] = [new RpcPeer(path), new RpcPeer(path)]
  t.teardown(() => {
    for (const peer of [writer, other]) peer.end()
    server.close()
    rmSync(dir, { recursive: true })
  })
  await writer.call(OPENS)
  const packet = makeRawFrame(callHeader(OPENS, 1, { type: STREAM, status: CONTINUE }), Buffer.alloc(PACKET))
  for (let i = 0; i < PACKETS; i++) for (const part of packet) writer.socket.write(part)
  for (let turns = 0; turns < 3 * PACKETS; turns++) await other.call(ANY_CALL)
  t.ok(got > 0 && got < MIB, `${got} bytes were read`)
  t.notOk(writer.socket.destroyed, 'it is not let go')
  isReading = true
  drain()
  await new Promise<void>(resolve => {
    gotAll = resolve
    if (got === PACKET * PACKETS) resolve()
  })
  await writer.call(ANY_CALL)
})

t.test('a body goes on when the client has read', async t => {
  const body = Buffer.alloc(3 * MIB, 7)
  const stream = bodyStream(body)
  let unread = 0
  const sent: number[] = []
  stream.open({
    data(chunk) {
      unread += chunk.length
      sent.push(chunk.length)
    },
    error: () => t.fail('no error'),
    backlog: () => unread,
    resume: () => {}
  })
  t.ok(unread < MIB, 'it waits')
  for (let turns = 0; turns < 20 && sent.at(-1) !== 0; turns++) {
    unread = 0
    stream.pace(unread)
  }
  t.equal(sent.at(-1), 0, 'the end')
  t.equal(
    sent.reduce((sum, length) => sum + length, 0),
    body.length
  )
})
