// A guest that does on its hardware what it is told over its serial port: a boot sector is its whole operating system.
// It can panic, sleep, set its clock, let its watchdog bark and read bad disks within milliseconds of its start.
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The code, 16 bit, loaded at 0x7c00. Bytes come in on COM1 and mean
 *   01 PORT16 VALUE8   outb
 *   02 PORT16 VALUE16  outw
 *   03 AH              BIOS disk call (2 reads, 3 writes sector 2 of the second disk); answers 0x40 | status
 *   else               answered with the same byte
 */
const CODE = [
  // start:
  'fa', // cli
  '31c0', // xor %ax,%ax
  '8ed8', // mov %ax,%ds
  '8ec0', // mov %ax,%es
  '8ed0', // mov %ax,%ss
  'bc007c', // mov $0x7c00,%sp
  'c7063000907c', // movw $0x7c90,0x30
  'a33200', // mov %ax,0x32
  'bafc03', // mov $0x3fc,%dx
  'b00b', // mov $0xb,%al
  'ee', // out %al,(%dx)
  'baf903', // mov $0x3f9,%dx
  'b001', // mov $0x1,%al
  'ee', // out %al,(%dx)
  'e421', // in $0x21,%al
  '24ef', // and $0xef,%al
  'e621', // out %al,$0x21
  // next:
  'e84f00', // call 79 <getc>
  '3c01', // cmp $0x1,%al
  '740d', // je 3b <outb>
  '3c02', // cmp $0x2,%al
  '7414', // je 46 <outw>
  '3c03', // cmp $0x3,%al
  '741d', // je 53 <disk>
  'e85200', // call 8b <putc>
  'ebec', // jmp 27 <next>
  // outb:
  'e83000', // call 6e <getw>
  'e83800', // call 79 <getc>
  '89ca', // mov %cx,%dx
  'ee', // out %al,(%dx)
  'ebe1', // jmp 27 <next>
  // outw:
  'e82500', // call 6e <getw>
  '51', // push %cx
  'e82100', // call 6e <getw>
  '5a', // pop %dx
  '89c8', // mov %cx,%ax
  'ef', // out %ax,(%dx)
  'ebd4', // jmp 27 <next>
  // disk:
  'e82300', // call 79 <getc>
  '88c4', // mov %al,%ah
  'b001', // mov $0x1,%al
  'bb0080', // mov $0x8000,%bx
  'b90200', // mov $0x2,%cx
  'ba8100', // mov $0x81,%dx
  'cd13', // int $0x13
  '88e0', // mov %ah,%al
  '0c40', // or $0x40,%al
  'e81f00', // call 8b <putc>
  'ebb9', // jmp 27 <next>
  // getw:
  'e80800', // call 79 <getc>
  '88c1', // mov %al,%cl
  'e80300', // call 79 <getc>
  '88c5', // mov %al,%ch
  'c3', // ret
  // getc:
  'bafd03', // mov $0x3fd,%dx
  'fa', // cli
  'ec', // in (%dx),%al
  'a801', // test $0x1,%al
  '7504', // jne 86 <getc+0xd>
  'fb', // sti
  'f4', // hlt
  'ebf6', // jmp 7c <getc+0x3>
  'fb', // sti
  'b2f8', // mov $0xf8,%dl
  'ec', // in (%dx),%al
  'c3', // ret
  // putc:
  'baf803', // mov $0x3f8,%dx
  'ee', // out %al,(%dx)
  'c3', // ret
  // irq:
  '50', // push %ax
  'b020', // mov $0x20,%al
  'e620', // out %al,$0x20
  '58', // pop %ax
  'cf' // iret
]

/** What a boot sector ends with. */
const SIGNATURE = 0xaa55

/** The guest's hardware by what one does with it. */
export const poke = {
  outb: (port: number, value: number) => [1, port & 0xff, port >> 8, value],
  outw: (port: number, value: number) => [2, port & 0xff, port >> 8, value & 0xff, value >> 8],
  disk: (call: 'read' | 'write') => [3, call === 'read' ? 2 : 3]
}

/** What a guest may do, as bytes to send it. Ports are QEMU's pc machine's. */
export const deeds = {
  panic: poke.outb(0x505, 1),
  crashload: poke.outb(0x505, 2),
  /** PIIX4's PM1 control: sleep type and enable */
  powerOff: poke.outw(0x604, 0x2000),
  sleep: poke.outw(0x604, 0x2400),
  hibernate: poke.outw(0x604, 0x2800),
  /** keyboard controller */
  reboot: poke.outb(0x64, 0xfe),
  /** ib700: time is up in 0 s */
  watchdog: poke.outb(0x443, 0x0f),
  /** year 30 into the CMOS clock */
  setClock: [...poke.outb(0x70, 9), ...poke.outb(0x71, 0x30)],
  readDisk: poke.disk('read'),
  writeDisk: poke.disk('write')
}

/** Makes the boot disk and a second one, sound or broken, in `dir`. */
export function makeDisks(dir: string): { boot: string; sound: string; broken: string } {
  const boot = join(dir, 'boot.img')
  const sector = Buffer.alloc(512)
  Buffer.from(CODE.join(''), 'hex').copy(sector)
  sector.writeUInt16LE(SIGNATURE, 510)
  writeFileSync(boot, Buffer.concat([sector, Buffer.alloc(1024 * 1024 - sector.length)]), { mode: 0o644 })
  const sound = join(dir, 'sound.qcow2')
  const broken = join(dir, 'broken.qcow2')
  for (const image of [sound, broken])
    spawnSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', image, '1M'])
  breakImage(broken)
  return { boot, sound, broken }
}

/** Points the second sector of a qcow2 image where no data can be: its clusters are one sector each. */
function breakImage(image: string): void {
  spawnSync('qemu-io', ['-f', 'qcow2', '-c', 'write 512 512', image])
  const fd = openSync(image, 'r+')
  const word = Buffer.alloc(8)
  const at = (offset: number) => {
    readSync(fd, word, 0, 8, offset)
    return Number(word.readBigUInt64BE() & 0x00ff_ffff_ffff_fe00n)
  }
  const tables = at(40)
  const entry = at(tables) + 8
  word.writeBigUInt64BE(0x8000_0000_0000_0100n)
  writeSync(fd, word, 0, 8, entry)
  closeSync(fd)
}
