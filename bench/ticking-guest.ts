// A guest that says when it runs: a boot sector is its whole operating system, which ticks on its serial port every 4 ms,
// and between its ticks writes to memory and disk, or rests.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'

/** Time between two ticks. */
export const TICK_MS = 4

/**
 * The code, 16 bit, loaded at 0x7c00; TCG has no limits of segments, so that 32-bit addresses reach all memory. At 0x500 is
 * the number of the last tick, whose low byte is the tick.
 */
const CODE = [
  // start:
  'fa', // cli
  '31c0', // xor %ax,%ax
  '8ed8', // mov %ax,%ds
  '8ec0', // mov %ax,%es
  '8ed0', // mov %ax,%ss
  'bc007c', // mov $0x7c00,%sp
  'c70620009d7c', // movw $tick,0x20
  'a32200', // mov %ax,0x22
  'a30005', // mov %ax,0x500
  // COM1: 115200 baud, 8 bits
  'bafb03', // mov $0x3fb,%dx
  'b080', // mov $0x80,%al
  'ee', // out %al,(%dx)
  'baf803', // mov $0x3f8,%dx
  'b001', // mov $0x1,%al
  'ee', // out %al,(%dx)
  '42', // inc %dx
  '31c0', // xor %ax,%ax
  'ee', // out %al,(%dx)
  'bafb03', // mov $0x3fb,%dx
  'b003', // mov $0x3,%al
  'ee', // out %al,(%dx)
  // the timer at 250 Hz
  'b034', // mov $0x34,%al
  'e643', // out %al,$0x43
  'b0a5', // mov $0xa5,%al
  'e640', // out %al,$0x40
  'b012', // mov $0x12,%al
  'e640', // out %al,$0x40
  // a word in each page from 1 MiB on
  '668b1ec37c', // mov end,%ebx
  '66bf00001000', // mov $0x100000,%edi
  // fill:
  '6639df', // cmp %ebx,%edi
  '730e', // jae filled
  '266766893f', // mov %edi,%es:(%edi)
  '6681c700100000', // add $0x1000,%edi
  'ebed', // jmp fill
  // filled:
  '66bf00001000', // mov $0x100000,%edi
  'fb', // sti
  // next: some pages anew, one behind the other
  'f4', // hlt
  '8b0ec77c', // mov pages,%cx
  'e3f9', // jcxz next
  // touch:
  '266766ff07', // incl %es:(%edi)
  '6681c700100000', // add $0x1000,%edi
  '6639df', // cmp %ebx,%edi
  '7206', // jb same
  '66bf00001000', // mov $0x100000,%edi
  // same:
  'e2e7', // loop touch
  // at every 16th tick a sector of the first MiB of the disk
  'a10005', // mov 0x500,%ax
  'a80f', // test $0xf,%al
  '75d9', // jne next
  '80e407', // and $0x7,%ah
  '83c040', // add $0x40,%ax
  'a3bb7c', // mov %ax,lba
  'beb37c', // mov $packet,%si
  'b280', // mov $0x80,%dl
  'b80043', // mov $0x4300,%ax
  'cd13', // int $0x13
  '1e', // push %ds
  '07', // pop %es
  'ebc2', // jmp next
  // tick:
  '50', // push %ax
  '52', // push %dx
  'b020', // mov $0x20,%al
  'e620', // out %al,$0x20
  '2eff060005', // incw %cs:0x500
  '2ea00005', // mov %cs:0x500,%al
  'baf803', // mov $0x3f8,%dx
  'ee', // out %al,(%dx)
  '5a', // pop %dx
  '58', // pop %ax
  'cf', // iret
  // packet: one sector, from 0000:8000
  '1000010000800000',
  // lba:
  '0000000000000000'
]

/** What follows the code: the end of the memory that it writes to, and how many pages it does at each tick. */
const END_AT = 0xc3
const PAGES_AT = 0xc7
/** Pages a tick: some 16 MiB a second. */
const PAGES = 16
/** The firmware keeps what it needs for the disk at the end of the memory. */
const KEPT_MIB = 16
const MIB = 1 << 20
/** What a boot sector ends with. */
const SIGNATURE = 0xaa55

/** Pieces in which an image is filled. */
const PIECE_MIB = 256

/**
 * Makes its disk, qcow2.
 * @param filledMiB of the image that are not empty
 * @param writes it writes to all its memory first, and then to memory and disk all the time; else it rests
 */
export function makeTickingDisk(
  image: string,
  { diskMiB, filledMiB, memoryMiB, writes }: { diskMiB: number; filledMiB: number; memoryMiB: number; writes: boolean }
): void {
  const sector = Buffer.alloc(512)
  Buffer.from(CODE.join(''), 'hex').copy(sector)
  if (writes) {
    sector.writeUInt32LE((memoryMiB - KEPT_MIB) * MIB, END_AT)
    sector.writeUInt16LE(PAGES, PAGES_AT)
  }
  sector.writeUInt16LE(SIGNATURE, 510)
  const raw = `${image}.sector`
  writeFileSync(raw, sector)
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, `${diskMiB}M`])
  const commands = [`write -q -s ${raw} 0 512`]
  for (let at = 2; at < filledMiB; at += PIECE_MIB) {
    commands.push(`write -q -P 90 ${at}M ${Math.min(PIECE_MIB, filledMiB - at)}M`)
  }
  execFileSync('qemu-io', ['-f', 'qcow2', ...commands.flatMap(command => ['-c', command]), image])
  rmSync(raw)
}

/** The ear of its ticks: listens where its serial port connects to, from whichever QEMU it runs in. */
export class Ticks {
  readonly path: string
  readonly #server: Server
  #links = 0
  #speaker = 0
  #last: number | undefined
  #lastMs = 0
  #silentMs = 0
  #lost = 0

  /** @param path of a socket that is made */
  constructor(path: string) {
    this.path = path
    this.#server = createServer(socket => this.#hear(socket, ++this.#links))
  }

  async listen(): Promise<void> {
    this.#server.listen(this.path)
    await once(this.#server, 'listening')
    chmodSync(this.path, 0o666)
  }

  #hear(socket: Socket, link: number): void {
    socket.on('error', () => socket.destroy())
    socket.on('data', chunk => {
      const nowMs = performance.now()
      if (this.#last !== undefined) this.#silentMs = Math.max(this.#silentMs, nowMs - this.#lastMs - TICK_MS)
      this.#lastMs = nowMs
      this.#speaker = link
      for (const tick of chunk) {
        if (this.#last !== undefined && tick !== ((this.#last + 1) & 0xff)) this.#lost++
        this.#last = tick
      }
    })
  }

  /** How many QEMUs have connected, and which of them was heard last. */
  get links(): number {
    return this.#links
  }
  get speaker(): number {
    return this.#speaker
  }

  /** Longest time without a tick since `forget`, ms. @throws Error when a tick was lost, or told twice */
  get silentMs(): number {
    if (this.#lost > 0) throw new Error(`${this.#lost} ticks came out of turn`)
    return this.#silentMs
  }

  /** Listens anew. @param afresh the next tick is another guest's */
  forget({ afresh = false } = {}): void {
    if (afresh) this.#last = undefined
    this.#silentMs = 0
    this.#lost = 0
  }

  close(): void {
    this.#server.close()
  }
}
