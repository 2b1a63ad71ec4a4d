// What the disks of a guest have that writes all the time (busy-guest.ts), at any moment of its life. Writes are numbered;
// all bytes of one follow from its number, and so does its place:
//
//     disk       vda for even numbers, vdb for odd ones, so that an image of either says where the other must be
//     slot       a permutation of the numbers of one disk: SLOTS of them fill the disk, the next ones write over them
//     bytes      the number, and what a linear congruential generator makes of it, 32 bits each
//
// One write is done before the next begins. An image of one moment has all writes up to a number, and none behind it: it
// is compared with exactly that.

export const DISKS = ['vda', 'vdb'] as const
export type DiskName = (typeof DISKS)[number]

export const BLOCK = 4096
export const SLOTS = 1024
/** Where the first slot begins. */
export const SLOTS_AT = 64 * 1024
const SLOTS_END = SLOTS_AT + SLOTS * BLOCK
const STRIDE = 433
/** The blocks the guest keeps in its memory: the latest ones, each where the one RING before was. */
export const RING = 32

export const nextWord = (word: number): number => (Math.imul(word, 1664525) + 1013904223) >>> 0

/** The bytes of a write. */
export function blockOf(number: number): Buffer {
  const words = new Uint32Array(BLOCK / 4)
  let word = number >>> 0
  for (let i = 0; i < words.length; i++) {
    words[i] = word
    word = nextWord(word)
  }
  return Buffer.from(words.buffer)
}

/** Where a write goes on its disk. */
export const placeOf = (number: number): number => SLOTS_AT + ((Math.floor(number / 2) * STRIDE) % SLOTS) * BLOCK

const parityOf = (disk: DiskName) => DISKS.indexOf(disk)

/** What images are found to be. */
export interface Moment {
  /** writes that are there: so many, or up to `last` where the image of only one disk is known */
  first: number
  last: number
  /** how many bytes were compared, and how many of them are not those of the moment */
  bytes: number
  wrong: number
}

export type Images = Partial<Record<DiskName, Buffer>>

export class WrittenDisks {
  readonly #initial: Record<DiskName, Buffer>

  /** @param initial the disks before the first write: nothing but zeros where slots are */
  constructor(initial: Record<DiskName, Buffer>) {
    this.#initial = initial
  }

  /** A disk behind that write. @param size in bytes; a disk that has grown has zeros there */
  at(disk: DiskName, moment: number, size = this.#initial[disk].length): Buffer {
    const content = Buffer.alloc(size)
    this.#initial[disk].copy(content)
    const latest = latestOf(disk, moment)
    for (let number = Math.max(latest - 2 * (SLOTS - 1), parityOf(disk) || 2); number <= latest; number += 2) {
      blockOf(number).copy(content, placeOf(number))
    }
    return content
  }

  /** The moment of images that were taken at once: that of the latest write in any of them, by which all are compared. */
  momentOf(images: Images): Moment {
    const known = DISKS.flatMap(disk => (images[disk] ? [[disk, images[disk]] as const] : []))
    const first = Math.max(...known.map(([disk, image]) => latestIn(disk, image)))
    let [bytes, wrong] = [0, 0]
    for (const [disk, image] of known) {
      bytes += image.length
      wrong += different(image, this.at(disk, first, image.length))
    }
    return { first, last: known.length === 1 ? first + 1 : first, bytes, wrong }
  }
}

/** The latest write of a disk's up to a number. */
const latestOf = (disk: DiskName, number: number) => number - ((number + parityOf(disk)) % 2)

/** The latest write an image says it has; what lies where no write puts it does not count. */
function latestIn(disk: DiskName, image: Buffer): number {
  let latest = 0
  for (let place = SLOTS_AT; place < SLOTS_END; place += BLOCK) {
    const number = image.readUInt32LE(place)
    if (number > latest && number % 2 === parityOf(disk) && placeOf(number) === place) latest = number
  }
  return latest
}

/** How many bytes differ. */
function different(a: Buffer, b: Buffer): number {
  if (a.equals(b)) return 0
  let count = Math.abs(a.length - b.length)
  for (let place = 0; place < Math.min(a.length, b.length); place += BLOCK) {
    const [one, other] = [a.subarray(place, place + BLOCK), b.subarray(place, place + BLOCK)]
    if (!one.equals(other)) count += one.reduce((sum, byte, i) => sum + Number(byte !== other[i]), 0)
  }
  return count
}

/**
 * The latest write whose block the guest's memory has, where it is the memory of one moment: all of the RING blocks up to
 * it, and at most the beginning of the next one in place of the oldest. @param ring RING blocks of memory
 * @returns undefined where it is not
 */
export function momentOfRing(ring: Buffer): number | undefined {
  // numbers before the first write are those of 32 bits
  const block = (number: number) => {
    const place = ((number >>> 0) % RING) * BLOCK
    return ring.subarray(place, place + BLOCK)
  }
  const numbers = Array.from({ length: RING }, (_, i) => ring.readUInt32LE(i * BLOCK))
  const newest = Math.max(...numbers.filter((number, i) => number % RING === i && number < 2 ** 31))
  // the newest may be on its way
  return [newest, newest - 1].find(latest => {
    for (let number = latest - RING + 2; number <= latest; number++) {
      if (!block(number).equals(blockOf(number))) return false
    }
    return isMade(block(latest + 1), latest + 1)
  })
}

/** True where a block's words are its own up to some place, and those of the one before it from there on. */
function isMade(block: Buffer, number: number): boolean {
  const [made, former] = [blockOf(number), blockOf(number - RING)]
  let end = 0
  while (end < BLOCK && block.readUInt32LE(end) === made.readUInt32LE(end)) end += 4
  return block.subarray(end).equals(former.subarray(end))
}
