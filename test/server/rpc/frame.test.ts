// Frames out of a byte stream, however it is cut, and never a byte beyond them.
import fc from 'fast-check'
import t from 'tap'
import {
  type Frame,
  FrameReader,
  MessageType,
  makeFrame,
  readerOf,
  withoutFiles
} from '../../../src/server/rpc/frame.ts'
import { callHeader } from '../../helper/rpc.ts'

const KiB = 1024
const MiB = 1024 * KiB
const SMALLEST = 28

/** A call of that many bytes of payload. */
function packet(serial: number, payload: number): Buffer {
  return makeFrame(callHeader(1, serial), to => {
    for (let i = 0; i < payload; i += 4) to.uint(i)
  })
}

/** Reads as a kernel does that has at most `step` bytes at a time; gives the frames, and how far each read went. */
function readAll(bytes: Buffer, step: () => number): { frames: Frame[]; reads: [from: number, to: number][] } {
  const reader = new FrameReader()
  const frames: Frame[] = []
  const reads: [number, number][] = []
  for (let at = 0; at < bytes.length; ) {
    const count = bytes.copy(reader.room, 0, at, Math.min(bytes.length, at + step()))
    reads.push([at, at + count])
    at += count
    const frame = reader.filled(count)
    if (frame) frames.push(frame)
  }
  return { frames, reads }
}

t.test('any packets, cut anyhow, come out as they went in', async t => {
  const sizes = fc.array(
    fc.integer({ min: 0, max: 70_000 }).map(size => size * 4),
    { minLength: 1, maxLength: 5 }
  )
  fc.assert(
    fc.property(sizes, fc.infiniteStream(fc.integer({ min: 1, max: 100_000 })), (payloads, steps) => {
      const packets = payloads.map((size, serial) => packet(serial, size))
      const all = Buffer.concat(packets)
      const { frames, reads } = readAll(all, () => steps.next().value as number)
      t.ok(Buffer.concat(frames.map(({ bytes }) => bytes)).equals(all))
      // each read ends where a packet ends, or before
      let end = 0
      const ends = packets.map(({ length }) => (end += length))
      for (const [from, to] of reads) t.ok(ends.every(at => !(from < at && at < to)))
    }),
    { numRuns: 30, seed: 11 }
  )
})

t.test('chunks from a peer that is read anyhow', async t => {
  const reader = new FrameReader()
  const all = Buffer.concat([packet(1, 0), packet(2, 8), packet(3, 200 * KiB), packet(4, 0)])
  const serials: number[] = []
  for (let at = 0; at < all.length; at += 10_007) {
    serials.push(...reader.push(all.subarray(at, at + 10_007)).map(({ serial }) => serial))
  }
  t.same(serials, [1, 2, 3, 4])
})

t.test('a frame is not changed by the next one', async t => {
  const [first, second] = new FrameReader().push(Buffer.concat([packet(1, 0), packet(2, 0)]))
  t.same([first!.bytes.length, first!.bytes.readUInt32BE(20), second!.bytes.readUInt32BE(20)], [SMALLEST, 1, 2])
})

t.test('what has not come takes no memory', async t => {
  const reader = new FrameReader()
  const head = packet(1, 0)
  head.writeUInt32BE(32 * MiB)
  reader.push(head)
  t.ok(reader.room.length <= 64 * KiB)
  reader.push(Buffer.alloc(MiB))
  t.ok(reader.room.length <= 2 * MiB)
})

t.test('lengths that no packet has', async t => {
  for (const length of [0, 27, 32 * MiB + 5, 0xffffffff]) {
    const head = Buffer.alloc(4)
    head.writeUInt32BE(length)
    t.throws(() => new FrameReader().push(head), /packet of/)
  }
})

const withFiles = (count: number, ...payload: number[]) =>
  makeFrame(callHeader(1, 9, { type: MessageType.CALL_WITH_FDS }), to => {
    for (const word of [count, ...payload]) to.uint(word)
  })

t.test('a call with files says how many, and its items come behind that', async t => {
  const [frame] = new FrameReader().push(withFiles(32, 7))
  t.equal(frame!.fileCount, 32)
  t.equal(readerOf(frame!).uint(), 7)
  t.equal(new FrameReader().push(packet(1, 8))[0]!.fileCount, 0)
  t.throws(() => new FrameReader().push(withFiles(33)), /33 files/)
  t.throws(() => {
    const bare = packet(1, 0)
    bare.writeInt32BE(MessageType.CALL_WITH_FDS, 16)
    new FrameReader().push(bare)
  }, /does not say how many/)
})

t.test('the bytes of files that nobody takes are passed over, in whatever pieces they come', async t => {
  for (const count of [1, 28, 32]) {
    for (const step of [1, 5, 28, 1000]) {
      const reader = new FrameReader()
      const [call] = reader.push(withFiles(count, 7))
      reader.skip(count)
      const plain = withoutFiles(call!)
      t.match(plain, { type: MessageType.CALL, serial: 9, fileCount: 0, status: 0 })
      t.same([plain.bytes.readUInt32BE(0), readerOf(plain).uint()], [plain.bytes.length, 7])
      const rest = Buffer.concat([Buffer.alloc(count, 0xff), packet(10, 4), packet(11, 0)])
      const serials: number[] = []
      for (let at = 0; at < rest.length; at += step) {
        serials.push(...reader.push(rest.subarray(at, at + step)).map(({ serial }) => serial))
      }
      t.same(serials, [10, 11])
    }
  }
})
