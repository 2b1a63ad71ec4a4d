// A guest that writes all the time: a boot sector is its whole operating system, so that it writes within a second of its
// start. It fills its two disks with numbered blocks (written-moment.ts), one behind the other, keeps the latest of them in
// its memory, compares each with what it must be before it gives way to a new one, and says on its serial port what it has
// done. Started anew, it goes on behind the latest write it finds on its disks. Its BIOS has no way to flush a disk, so
// that QEMU does after each write.
import { execFileSync } from 'node:child_process'
import { closeSync, fstatSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Shim } from './shim.ts'
import { BLOCK, blockOf, DISKS, type DiskName, RING, SLOTS, SLOTS_AT, WrittenDisks } from './written-moment.ts'

const RUNNING = 1
const SHUTOFF = 5
/** Wide: it only keeps a test from hanging. */
export const LIMIT_MS = 120_000

/** Where the blocks lie in its memory. */
export const RING_AT = 0x20000

/**
 * The code, 16 bit, loaded at 0x7c00. At 0x500 is the number of the latest write, at 0x504 a mark that a block in memory was
 * wrong, at 0x510 the packet for the BIOS: size, sectors, offset, segment, first sector. It says
 *   S NEWLINE          once it starts
 *   HEX8 NEWLINE       when that write is done
 *   !                  a block in its memory was another one
 *   ?                  the BIOS tells an error; it is asked again
 */
const CODE = [
  // start:
  'fa', // cli
  '31c0', // xor %ax,%ax
  '8ed8', // mov %ax,%ds
  '8ed0', // mov %ax,%ss
  'bc007c', // mov $0x7c00,%sp
  'fb', // sti
  'fc', // cld
  '66c706000500000000', // movl $0x0,0x500
  'c606040500', // movb $0x0,0x504
  'b053', // mov $0x53,%al
  'e84e01', // call 7d6d <putc>
  'b00a', // mov $0xa,%al
  'e84901', // call 7d6d <putc>
  '66c706100510000800', // movl $0x80010,0x510
  '66c706140500000010', // movl $0x10000000,0x514
  '66c7061c0500000000', // movl $0x0,0x51c
  'b280', // mov $0x80,%dl
  // scan:
  '66c706180580000000', // movl $0x80,0x518
  // slot:
  'b442', // mov $0x42,%ah
  'e80601', // call 7d55 <disk>
  'bb0010', // mov $0x1000,%bx
  '8ec3', // mov %bx,%es
  '2666a10000', // mov %es:0x0,%eax
  '663b060005', // cmp 0x500,%eax
  '7604', // jbe 7c64 <slot+0x1a>
  '66a30005', // mov %eax,0x500
  '668306180508', // addl $0x8,0x518
  '66813e180580200000', // cmpl $0x2080,0x518
  '72d5', // jb 7c4a <slot>
  '42', // inc %dx
  '80fa82', // cmp $0x82,%dl
  '72c6', // jb 7c41 <scan>
  '66832e00051f', // subl $0x1f,0x500
  'bd2000', // mov $0x20,%bp
  // fill:
  'e87000', // call 7cf7 <make>
  '66ff060005', // incl 0x500
  '4d', // dec %bp
  '75f5', // jne 7c84 <fill>
  '66ff0e0005', // decl 0x500
  'c606040500', // movb $0x0,0x504
  // next:
  '66ff060005', // incl 0x500
  'e85600', // call 7cf7 <make>
  '8c061605', // mov %es,0x516
  '66a10005', // mov 0x500,%eax
  '88c2', // mov %al,%dl
  '80e201', // and $0x1,%dl
  '80ca80', // or $0x80,%dl
  '66d1e8', // shr %eax
  '6669c0b1010000', // imul $0x1b1,%eax,%eax
  '6625ff030000', // and $0x3ff,%eax
  '66c1e003', // shl $0x3,%eax
  '660580000000', // add $0x80,%eax
  '66a31805', // mov %eax,0x518
  'b80043', // mov $0x4300,%ax
  'e88000', // call 7d55 <disk>
  '668b160005', // mov 0x500,%edx
  'bd0800', // mov $0x8,%bp
  // digit:
  '66c1c204', // rol $0x4,%edx
  '88d0', // mov %dl,%al
  '240f', // and $0xf,%al
  '3c0a', // cmp $0xa,%al
  '1c69', // sbb $0x69,%al
  '2f', // das
  'e88000', // call 7d6d <putc>
  '4d', // dec %bp
  '75ed', // jne 7cdd <digit>
  'b00a', // mov $0xa,%al
  'e87800', // call 7d6d <putc>
  'eba2', // jmp 7c99 <next>
  // make:
  '66a10005', // mov 0x500,%eax
  '89c3', // mov %ax,%bx
  '83e31f', // and $0x1f,%bx
  'c1e308', // shl $0x8,%bx
  '81c30020', // add $0x2000,%bx
  '8ec3', // mov %bx,%es
  '6689c2', // mov %eax,%edx
  '6683ea20', // sub $0x20,%edx
  '31ff', // xor %di,%di
  'b90004', // mov $0x400,%cx
  '26663b15', // cmp %es:(%di),%edx
  '7405', // je 7d20 <make+0x29>
  'c606040501', // movb $0x1,0x504
  '66ab', // stos %eax,%es:(%di)
  '6669c00d661900', // imul $0x19660d,%eax,%eax
  '66055ff36e3c', // add $0x3c6ef35f,%eax
  '6669d20d661900', // imul $0x19660d,%edx,%edx
  '6681c25ff36e3c', // add $0x3c6ef35f,%edx
  'e2d6', // loop 7d15 <make+0x1e>
  '803e040500', // cmpb $0x0,0x504
  '740e', // je 7d54 <make+0x5d>
  '85ed', // test %bp,%bp
  '750a', // jne 7d54 <make+0x5d>
  'b021', // mov $0x21,%al
  'e81e00', // call 7d6d <putc>
  'c606040500', // movb $0x0,0x504
  'c3', // ret
  // disk:
  '50', // push %ax
  'c606120508', // movb $0x8,0x512
  'be1005', // mov $0x510,%si
  'cd13', // int $0x13
  '58', // pop %ax
  '7309', // jae 7d6c <disk+0x17>
  '50', // push %ax
  'b03f', // mov $0x3f,%al
  'e80400', // call 7d6d <putc>
  '58', // pop %ax
  'ebe9', // jmp 7d55 <disk>
  'c3', // ret
  // putc:
  '50', // push %ax
  '52', // push %dx
  'baf803', // mov $0x3f8,%dx
  'ee', // out %al,(%dx)
  '5a', // pop %dx
  '58', // pop %ax
  'c3' // ret
]

/** What a boot sector ends with. */
const SIGNATURE = 0xaa55

function bootSector(): Buffer {
  const sector = Buffer.alloc(512)
  Buffer.from(CODE.join(''), 'hex').copy(sector)
  sector.writeUInt16LE(SIGNATURE, 510)
  return sector
}

/** Blocks that are never written, behind the slots: so many bytes that have something to be copied. */
function still(bytes: number): Buffer {
  return Buffer.concat(Array.from({ length: bytes / BLOCK }, (_, i) => blockOf(0x4000_0000 + i)))
}

/** What the guest says on its serial port, as far as it was read. */
export class Reports {
  readonly #file: string
  #place = 0
  #rest = ''
  /** the latest write it says is done */
  latest = 0
  /** writes that were told behind another than the one before them */
  jumps: { from: number; to: number }[] = []
  /** how often it began; blocks in its memory that were wrong; errors of its disks */
  begun = 0
  wrong = 0
  errors = 0

  constructor(file: string) {
    this.#file = file
  }

  /** Reads on to the end. */
  read(): this {
    const fd = openSync(this.#file, 'r')
    try {
      const more = Buffer.alloc(Math.max(0, fstatSync(fd).size - this.#place))
      this.#place += readSync(fd, more, 0, more.length, this.#place)
      const lines = (this.#rest + more.toString('latin1')).split('\n')
      this.#rest = lines.pop()!
      for (const line of lines) this.#take(line)
    } finally {
      closeSync(fd)
    }
    return this
  }

  #take(line: string): void {
    const count = (mark: string) => line.split(mark).length - 1
    this.wrong += count('!')
    this.errors += count('?')
    this.begun += count('S')
    // what another life has left of a line makes that of the next one unreadable
    const [, digits] = /^[!?]*([0-9A-F]{8})$/.exec(line) ?? []
    if (digits === undefined) return
    const number = Number.parseInt(digits, 16)
    if (number !== this.latest + 1) this.jumps.push({ from: this.latest, to: number })
    this.latest = number
  }
}

/** Forms of a guest. */
interface Form {
  /** of each disk; at least what the slots need */
  diskMiB: number
  memoryMiB: number
}

/** The BIOS knows only disks that it may boot from. What is flushed need not survive the host. */
const diskXml = (
  disk: DiskName,
  file: string
) => `<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='unsafe'/>
  <source file='${file}'/><target dev='${disk}' bus='virtio'/>
  <boot order='${DISKS.indexOf(disk) + 1}'/></disk>`

/** The guest, its shim, and the model of its disks. */
export class BusyGuest {
  readonly shim = new Shim('')
  readonly disks: WrittenDisks
  readonly reports: Reports

  constructor({ diskMiB, memoryMiB }: Form) {
    const { shim } = this
    const size = diskMiB * 1024 * 1024
    const initial = (disk: DiskName) => {
      const content = Buffer.alloc(size)
      if (disk === 'vda') bootSector().copy(content)
      const behind = SLOTS_AT + SLOTS * BLOCK
      still(size - behind).copy(content, behind)
      return content
    }
    const contents = { vda: initial('vda'), vdb: initial('vdb') }
    this.disks = new WrittenDisks(contents)
    for (const disk of DISKS) {
      const raw = this.path('initial.raw')
      writeFileSync(raw, contents[disk])
      execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, this.path(`${disk}.qcow2`)])
      rmSync(raw)
    }
    const said = this.path('said')
    writeFileSync(said, '')
    this.reports = new Reports(said)
    writeFileSync(
      shim.xmlFile,
      `<domain type='qemu'><name>t-busy-${process.pid}</name><memory unit='MiB'>${memoryMiB}</memory><vcpu>1</vcpu>
      <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
      <devices><controller type='usb' model='none'/>${DISKS.map(disk => diskXml(disk, this.path(`${disk}.qcow2`))).join('')}
      <serial type='file'><source path='${said}' append='on'/></serial><memballoon model='none'/></devices></domain>`
    )
  }

  path(name: string): string {
    return join(this.shim.dir, name)
  }

  /** Settles when it writes. */
  async start(): Promise<void> {
    void this.shim.start('--define', '--linger')
    await this.shim.untilState(RUNNING, LIMIT_MS)
    await this.goesOn()
  }

  // biome-ignore lint/suspicious/noExplicitAny: answers are of any shape
  async call(api: string, args: object = {}): Promise<any> {
    const { status, body } = await this.shim.call(api, args)
    if (status !== 200) throw new Error(`${api}: ${body.codeName} ${body.message}`)
    return body
  }

  /** The latest write it says is done. */
  latest(): number {
    return this.reports.read().latest
  }

  /** Settles when it has written so many blocks more, and all of its memory once. @throws where it does not */
  async goesOn(writes = RING + 8): Promise<void> {
    const { reports } = this
    const { latest: from, jumps } = reports.read()
    const jumped = jumps.length
    for (let [base, limit] = [from, Date.now() + LIMIT_MS]; reports.read().latest < base + writes; await sleep(20)) {
      // it has gone back
      if (reports.jumps.length > jumped) base = Math.min(base, reports.jumps.at(-1)!.to)
      if (Date.now() > limit) throw new Error(`it does not go on behind ${reports.latest}: ${this.shim.stderr}`)
    }
  }

  /** The definition, and the images its disks stand on, from the top. */
  async chains(): Promise<Record<DiskName, string[]>> {
    const { xml } = await this.call('virDomainGetXMLDesc')
    const disks: string[] = xml.match(/<disk .*?<\/disk>/gs)
    const chain = (i: number) =>
      [...disks[i]!.replace(/<mirror.*<\/mirror>/s, '').matchAll(/<source file='([^']+)'/g)].map(([, file]) => file!)
    return { vda: chain(0), vdb: chain(1) }
  }

  /** The bytes of an image, or of a snapshot in it, whoever has it open. @param format absent: qcow2 */
  read(path: string, { format = 'qcow2', snapshot }: { format?: string; snapshot?: string } = {}): Buffer {
    const raw = this.path('read.raw')
    const which = snapshot === undefined ? [] : ['-l', `snapshot.name=${snapshot}`]
    execFileSync('qemu-img', ['convert', '-U', '-f', format, ...which, '-O', 'raw', path, raw])
    const bytes = readFileSync(raw)
    rmSync(raw)
    return bytes
  }

  async isActive(): Promise<boolean> {
    return (await this.call('virDomainGetState')).state !== SHUTOFF
  }

  end(): Promise<void> {
    return this.shim.end()
  }
}
