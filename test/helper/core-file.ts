// Core files as QEMU writes them.

export interface Segment {
  /** 1: PT_LOAD, 4: PT_NOTE */
  type: number
  offset: number
  address: number
  bytes: number
}

/** The program headers of a core file. @throws where it is none */
export function segmentsOf(elf: Buffer): Segment[] {
  if (elf.toString('latin1', 0, 5) !== '\x7fELF\x02' || elf.readUInt16LE(16) !== 4) throw new Error('no ELF core')
  const at = (place: number) => Number(elf.readBigUInt64LE(place))
  const [begin, size, count] = [at(32), elf.readUInt16LE(54), elf.readUInt16LE(56)]
  return Array.from({ length: count }, (_, i) => {
    const header = begin + i * size
    return { type: elf.readUInt32LE(header), offset: at(header + 8), address: at(header + 24), bytes: at(header + 32) }
  })
}
