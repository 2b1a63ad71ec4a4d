// A guest that gives up at once what it is asked for, so that what is timed is who asks: a boot sector is its whole
// operating system.
import { writeFileSync } from 'node:fs'

/** The code, 16 bit, loaded at 0x7c00: sleeps, and each millisecond ejects what QEMU's pc machine wants back. */
const CODE = [
  // start:
  'fa', // cli
  '31c0', // xor %ax,%ax
  '8ed8', // mov %ax,%ds
  '8ed0', // mov %ax,%ss
  'bc007c', // mov $0x7c00,%sp
  'c70620003a7c', // movw $tick,0x20
  'a32200', // mov %ax,0x22
  // the timer at 1 kHz
  'b034', // mov $0x34,%al
  'e643', // out %al,$0x43
  'b0a9', // mov $0xa9,%al
  'e640', // out %al,$0x40
  'b004', // mov $0x4,%al
  'e640', // out %al,$0x40
  'fb', // sti
  // next: slots of the first PCI bus (QEMU's docs/specs/acpi_pci_hotplug.txt)
  'f4', // hlt
  '6631c0', // xor %eax,%eax
  'ba10ae', // mov $0xae10,%dx
  '66ef', // out %eax,(%dx)
  'ba04ae', // mov $0xae04,%dx
  '66ed', // in (%dx),%eax
  '6685c0', // test %eax,%eax
  '74ed', // je next
  'ba08ae', // mov $0xae08,%dx
  '66ef', // out %eax,(%dx)
  'ebe6', // jmp next
  // tick:
  'b020', // mov $0x20,%al
  'e620', // out %al,$0x20
  'cf' // iret
]

/** What a boot sector ends with. */
const SIGNATURE = 0xaa55

/** Writes its disk, a raw image. */
export function makeBootDisk(file: string): void {
  const disk = Buffer.alloc(1024 * 1024)
  Buffer.from(CODE.join(''), 'hex').copy(disk)
  disk.writeUInt16LE(SIGNATURE, 510)
  writeFileSync(file, disk)
}
