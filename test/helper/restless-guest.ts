// A guest that never rests: it changes its memory and its disk all the time, checks what it finds there, and says how
// often it has done so. Run twice it says a number twice; what it has lost it says too.
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'

/**
 * Boot sector, 16 bit, loaded at 0x7c00. A pass checks that each word of 0x10000 to 0x8ffff is the pass's number, adds 1
 * to it, fills a sector of the disk with the new one, reads what it has written 512 passes before, and says the number
 * on COM1 as four digits of 16 from '0' on; an 'X' when something is wrong. It then sleeps until the next tick (55 ms).
 */
const CODE = [
  // start:
  'fa 31c0 8ed8 8ed0 bc007c fc', // cli; ds = ss = 0; sp = 0x7c00; cld
  'bafb03 b080 ee baf803 b001 ee 42 31c0 ee bafb03 b003 ee', // COM1: 115200 baud, 8 bits
  'fb 31ed bb0010', // sti; bp = 0; bx = 0x1000
  // clear:
  '8ec3 31c0 31ff b90080 f3ab', // es = bx; rep stosw of 0
  '80c710 80ff90 75ed', // the next of 8 segments
  // pass:
  'b710', // bx = 0x1000
  // segment:
  '8ec3 89e8 31ff b90080 f3af 7555', // repe scasw of bp, else bad
  '40 31ff b90080 f3ab', // rep stosw of bp + 1
  '80c710 80ff90 75e3', // the next of 8 segments
  '45 89e8 e84700', // inc bp; fill
  'b443 e85800', // disk: write
  '89e8 2d0002 7216', // ax = bp - 512, else print
  '89c3 e84000 b442 e84700', // place; disk: read
  '89d8 bf0080 b90001 f3af 751d', // repe scasw of bp - 512, else bad
  // print:
  'b90400 89eb', // bx = bp
  'c1c304 88d8 240f 0430 e83600 e2f2', // putc of each digit
  'b00a e82f00', // putc of a line's end
  'f4 31db eb9c', // hlt; pass
  // bad:
  'b058 e82500 f4 ebfd', // putc of X; hlt for ever
  // fill: the buffer at 0x8000 with ax
  '1e 07 bf0080 b90001 f3ab',
  // place: of ax on the disk, in sectors: 64 + ax % 2048
  '1e 07 80e407 83c040 a3e07c c3',
  // disk: ah on the packet
  '30c0 b280 bed87c cd13 72d7 c3',
  // putc:
  '88c4 bafd03 ec a820 74fb b2f8 88e0 ee c3',
  // packet: one sector, 0000:8000
  '10000100 00800000 0000000000000000'
]
const SIZE = '2M'
const SIGNATURE = 0xaa55

/** Writes its disk, qcow2. */
export function makeRestlessDisk(image: string): void {
  const sector = Buffer.alloc(512)
  Buffer.from(CODE.join('').replaceAll(' ', ''), 'hex').copy(sector)
  sector.writeUInt16LE(SIGNATURE, 510)
  const raw = `${image}.sector`
  writeFileSync(raw, sector)
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, SIZE])
  execFileSync('qemu-io', ['-f', 'qcow2', '-c', `write -q -s ${raw} 0 512`, image])
  rmSync(raw)
}

/** An empty image of the same size, or one that stands on another, which need not be there from here. */
export function makeImage(image: string, backing?: string): void {
  const on = backing === undefined ? [] : ['-u', '-F', 'qcow2', '-b', backing]
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...on, image, SIZE])
}

/** @param said a file, which takes what it says */
export const restlessGuest = (name: string, { disk, said }: { disk: string; said: string }, devices = ''): string =>
  `<domain type='qemu'><name>${name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>
  <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
  <serial type='file'><source path='${said}' append='on'/></serial>${devices}</devices></domain>`

/** How many passes it has said it made. @throws Error when it has lost something, or was two */
export function passesOf(said: string): number {
  const lines = readFileSync(said, 'latin1').split('\n').slice(0, -1)
  for (const [at, line] of lines.entries()) {
    const number = [...line].reduce((sum, digit) => sum * 16 + digit.charCodeAt(0) - 0x30, 0)
    if (line.length !== 4 || number !== ((at + 1) & 0xffff)) throw new Error(`pass ${at + 1} is told as '${line}'`)
  }
  return lines.length
}
