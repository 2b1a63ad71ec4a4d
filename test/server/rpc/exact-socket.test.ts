// A connection that is read as far as is wanted and no further.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { exactSocket } from '../../../src/server/rpc/exact-socket.ts'

interface Reading {
  client: Socket
  accepted: Socket
  socket: Socket
  /** what each read has brought */
  reads: string[]
}

/** A connection of which five bytes are read at a time. */
async function reading(t: Test, after: (reading: Reading) => void = () => {}): Promise<Reading> {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-exact-'))
  const server = createServer({ pauseOnConnect: true }).listen(join(dir, 'socket'))
  t.teardown(() => {
    server.close()
    rmSync(dir, { recursive: true })
  })
  const client = connect(join(dir, 'socket'))
  const [accepted] = (await once(server, 'connection')) as [Socket]
  const room = Buffer.alloc(5)
  const it: Reading = { client, accepted, reads: [], socket: undefined as never }
  it.socket = exactSocket(accepted, {
    room: () => room,
    filled: count => {
      it.reads.push(String(room.subarray(0, count)))
      after(it)
    }
  })
  t.teardown(() => it.socket.destroy())
  return it
}

const until = async (isSo: () => boolean) => {
  while (!isSo()) await new Promise(setImmediate)
}

t.test('what fits is read, again and again', async t => {
  const { client, socket, reads } = await reading(t)
  client.write('0123456789ab')
  for (let i = 0; i < 10; i++) await new Promise(setImmediate)
  t.same(reads, [], 'it begins paused')
  socket.resume()
  await until(() => reads.length === 3)
  t.same(reads, ['01234', '56789', 'ab'])
  client.write('c')
  await until(() => reads.length === 4)
  t.equal(reads[3], 'c')
})

t.test('a pause leaves the next byte unread, and goes on where it was', async t => {
  const { client, socket, reads } = await reading(t, ({ socket }) => socket.pause())
  client.write('0123456789ab')
  for (const expected of ['01234', '56789', 'ab']) {
    socket.resume()
    await until(() => reads.at(-1) === expected)
    for (let i = 0; i < 10; i++) await new Promise(setImmediate)
    t.equal(reads.at(-1), expected)
  }
})

t.test('the end on either side ends both sockets', async t => {
  const one = await reading(t)
  one.socket.resume()
  one.client.end()
  await Promise.all([once(one.socket, 'close'), once(one.accepted, 'close')])
  const other = await reading(t)
  other.socket.resume()
  other.socket.write('bye')
  const [said] = await once(other.client, 'data')
  t.equal(String(said), 'bye')
  other.socket.destroy()
  await Promise.all([once(other.client, 'close'), once(other.accepted, 'close')])
})
