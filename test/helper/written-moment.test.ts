import t from 'tap'
import {
  BLOCK,
  blockOf,
  DISKS,
  type DiskName,
  type Images,
  momentOfRing,
  placeOf,
  RING,
  SLOTS,
  SLOTS_AT,
  WrittenDisks
} from './written-moment.ts'

const SIZE = SLOTS_AT + (SLOTS + 2) * BLOCK
const initial = Object.fromEntries(DISKS.map(disk => [disk, Buffer.alloc(SIZE)])) as Record<DiskName, Buffer>
initial.vda.write('boot')
initial.vdb.fill(7, SIZE - BLOCK)
const disks = new WrittenDisks(initial)

/** What a guest has written, one after the other. */
function written(upTo: number): Record<DiskName, Buffer> {
  const images = { vda: Buffer.from(initial.vda), vdb: Buffer.from(initial.vdb) }
  for (let number = 1; number <= upTo; number++) {
    blockOf(number).copy(images[number % 2 === 0 ? 'vda' : 'vdb'], placeOf(number))
  }
  return images
}

t.test('the model is what is written one after the other', async t => {
  for (const number of [0, 1, 2, 3, 100, 2 * SLOTS - 1, 2 * SLOTS, 2 * SLOTS + 1, 2 * SLOTS + 2, 5 * SLOTS + 333]) {
    const images = written(number)
    for (const disk of DISKS) t.ok(images[disk].equals(disks.at(disk, number)), `${disk} after ${number}`)
    t.same(disks.momentOf(images), { first: number, last: number, bytes: 2 * SIZE, wrong: 0 })
  }
})

t.test('one disk alone says less', async t => {
  t.match(disks.momentOf({ vda: written(10).vda }), { first: 10, last: 11, wrong: 0 })
  t.match(disks.momentOf({ vda: written(11).vda }), { first: 10, last: 11, wrong: 0 })
  t.match(disks.momentOf({ vdb: written(11).vdb }), { first: 11, last: 12, wrong: 0 })
})

t.test('images of two moments', async t => {
  const wrong = (images: Images) => disks.momentOf(images).wrong
  t.ok(wrong({ vda: written(10).vda, vdb: written(7).vdb }) > 0)
  t.ok(wrong({ vda: written(10).vda, vdb: written(13).vdb }) > 0)
  t.equal(wrong({ vda: written(10).vda, vdb: written(9).vdb }), 0)
})

t.test('a write that is lost, half there, or too early; a byte nobody wrote', async t => {
  const lost = written(4000)
  blockOf(2002 - 2 * SLOTS).copy(lost.vda, placeOf(2002))
  t.ok(disks.momentOf(lost).wrong > BLOCK / 2)
  const half = written(4000)
  blockOf(4000 - 2 * SLOTS).copy(half.vda, placeOf(4000) + BLOCK / 2, BLOCK / 2)
  t.ok(disks.momentOf(half).wrong > BLOCK / 4)
  const early = written(4000)
  blockOf(4006).copy(early.vda, placeOf(4006))
  t.ok(disks.momentOf(early).wrong > BLOCK)
  const touched = written(4000)
  touched.vdb[SIZE - 1]!++
  t.equal(disks.momentOf(touched).wrong, 1)
})

t.test('a disk that has grown', async t => {
  const grown = Buffer.concat([written(50).vda, Buffer.alloc(BLOCK)])
  t.equal(disks.momentOf({ vda: grown }).wrong, 0)
  grown[SIZE + 5] = 1
  t.equal(disks.momentOf({ vda: grown }).wrong, 1)
})

t.test('memory', async t => {
  const ring = (latest: number, made = 0) => {
    const memory = Buffer.alloc(RING * BLOCK)
    for (let number = latest - RING + 1; number <= latest; number++) {
      blockOf(number).copy(memory, ((number >>> 0) % RING) * BLOCK)
    }
    blockOf(latest + 1).copy(memory, ((latest + 1) % RING) * BLOCK, 0, made)
    return memory
  }
  t.equal(momentOfRing(ring(1000)), 1000)
  t.equal(momentOfRing(ring(1000, 4)), 1000)
  t.equal(momentOfRing(ring(1000, BLOCK - 4)), 1000)
  const torn = ring(1000)
  blockOf(990 - RING).copy(torn, (990 % RING) * BLOCK, 8, 16)
  t.equal(momentOfRing(torn), undefined)
  t.equal(momentOfRing(ring(1000).fill(0, 4096, 4100)), undefined)
})
