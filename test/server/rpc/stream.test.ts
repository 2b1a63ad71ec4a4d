// Streams towards clients that do not read: a live channel cuts them off, a body waits for them.
import t from 'tap'
import type { VirError } from '../../../src/conf/error.ts'
import type { ByteChannel } from '../../../src/drivers/method.ts'
import { bodyStream, channelStream } from '../../../src/server/rpc/stream.ts'

const MIB = 1024 * 1024

/** A channel and an output whose client has that much to read yet. */
function live(backlog: () => number) {
  const sent: number[] = []
  const errors: VirError[] = []
  const typed: string[] = []
  let closed = 0
  let say: (data: Buffer) => void = () => {}
  let end: (reason: string) => void = () => {}
  const channel: ByteChannel = {
    write: data => typed.push(String(data)) > 0,
    onDrain: () => {},
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
  stream.open({ data: chunk => sent.push(chunk.length), error: error => errors.push(error), backlog })
  return { stream, sent, errors, typed, closed: () => closed, say: (data: Buffer) => say(data), end: () => end('over') }
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
    backlog: () => unread
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
