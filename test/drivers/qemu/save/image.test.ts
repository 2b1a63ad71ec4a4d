// The form of a save image: bytes as libvirt 11.3 writes them, both byte orders, and everything that is none.
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import {
  compressors,
  createFile,
  decompressors,
  finishImage,
  formatImage,
  isCorrupt,
  memoryOffset,
  openMemory,
  readImage,
  readImageFile,
  rewriteImage,
  SAVE_FORMATS
} from '../../../../src/drivers/qemu/save/image.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'

const XML = "<domain type='qemu'>ü</domain>\n"
const COOKIE = '<cookie>\n</cookie>\n'
const image = { running: true, format: 'zstd', xml: XML, cookie: COOKIE } as const

function written(t: Test, bytes: Uint8Array | string): string {
  const file = join(t.testdir({}), 'image')
  writeFileSync(file, bytes)
  return file
}

t.test('header, XML, cookie and room for more', async t => {
  const bytes = formatImage(image)
  const length = bytes.readUInt32LE(20)
  const header = Buffer.concat([Buffer.from('LibvirtQemudPart'), Buffer.alloc(76)])
  for (const [at, value] of [
    [16, 2],
    [20, length],
    [24, 1],
    [28, 5],
    [32, Buffer.byteLength(XML) + 1]
  ] as const) {
    header.writeUInt32LE(value, at)
  }
  t.same(bytes.subarray(0, 92), header)
  const text = Buffer.from(`${XML}\0${COOKIE}\0`)
  t.same(bytes.subarray(92, 92 + text.length), text)
  t.ok(bytes.subarray(92 + text.length).every(byte => byte === 0))
  t.ok(length >= text.length + 64 * 1024)
  t.equal((92 + length) % 4096, 0, 'memory can be written past the page cache')
  t.equal(bytes.length, 92 + length)
  t.equal(formatImage({ ...image, running: false }).readUInt32LE(24), 0)
  t.equal(formatImage({ running: true, format: 'raw', xml: XML }).readUInt32LE(32), 0)
})

t.test('it is read once it is whole, and the file then stands where the memory is', async t => {
  for (const format of SAVE_FORMATS) {
    for (const cookie of [COOKIE, undefined]) {
      const bytes = formatImage({ ...image, format, cookie })
      const file = written(t, Buffer.concat([bytes, Buffer.from('memory')]))
      t.ok(isCorrupt(file))
      t.match(await failureOf(() => readImageFile(file)), /save image is incomplete/)
      finishImage(file)
      t.notOk(isCorrupt(file))
      const fd = openSync(file, 'r')
      const read = readImage(fd)
      t.same(read, { ...image, format, cookie, version: 2, length: bytes.readUInt32LE(20) })
      t.equal(readFileSync(fd, 'utf8'), 'memory')
      closeSync(fd)
      const memory = openMemory(file, read, false)
      t.equal(readFileSync(memory.fd, 'utf8'), 'memory')
      closeSync(memory.fd)
    }
  }
})

t.test('one of the other byte order', async t => {
  const bytes = formatImage(image, { whole: true })
  bytes.subarray(16, 36).swap32()
  t.match(readImageFile(written(t, bytes)), { ...image, version: 2 })
})

t.test('new XML in the room there is', async t => {
  const length = formatImage(image).readUInt32LE(20)
  const longer = { ...image, xml: 'x'.repeat(length - Buffer.byteLength(COOKIE) - 2) }
  t.equal(formatImage(longer, { length }).length, memoryOffset({ length }))
  const tooLong = { ...longer, xml: `${longer.xml}x` }
  t.match(await failureOf(() => formatImage(tooLong, { length })), /^VIR_ERR_OPERATION_FAILED .*too large to fit/)
})

t.test('other XML is there as a whole or not at all, wherever its writing is cut short', async t => {
  const length = formatImage(image).readUInt32LE(20)
  const other = { ...image, running: !image.running, xml: `<domain>${'y'.repeat(20_000)}</domain>` }
  const [before, after] = [image, other].map(one => formatImage(one, { whole: true, length })) as [Buffer, Buffer]
  const memory = Buffer.from('memory')
  const besideOf = (file: string) => {
    const { ino, size } = statSync(file)
    return join(dirname(file), `.${basename(file)}.${ino}-${size}`)
  }
  const file = written(t, Buffer.concat([before, memory]))
  rewriteImage(file, after)
  t.match(readImageFile(file), other)
  t.same(readFileSync(file).subarray(-6), memory)
  t.notOk(existsSync(besideOf(file)), 'nothing is left beside it')
  for (const cut of [0, 1, 30, 91, 4096, 12_345, after.length]) {
    const torn = written(t, Buffer.concat([after.subarray(0, cut), before.subarray(cut), memory]))
    writeFileSync(besideOf(torn), after, { mode: 0o600 })
    t.match(readImageFile(torn), other, `${cut} bytes`)
    t.same(readFileSync(torn), Buffer.concat([after, memory]))
    t.notOk(existsSync(besideOf(torn)))
  }
  const replaced = written(t, Buffer.concat([before, memory]))
  const left = besideOf(replaced)
  writeFileSync(left, after, { mode: 0o600 })
  closeSync(createFile(replaced, false, () => undefined))
  t.notOk(existsSync(left), 'a new image is written over it')
  writeFileSync(replaced, Buffer.concat([before, memory, memory]))
  writeFileSync(left, after, { mode: 0o600 })
  t.match(readImageFile(replaced), image, 'it was of another image')
  // what others may have laid there is not taken for ours
  for (const lay of [
    (lure: string, at: string) => symlinkSync(lure, at),
    (lure: string, at: string) => linkSync(lure, at),
    (_: string, at: string) => mkdirSync(at),
    (lure: string, at: string) => {
      renameSync(lure, at)
      chmodSync(at, 0o666)
    }
  ]) {
    const whole = written(t, Buffer.concat([before, memory]))
    const lure = join(dirname(whole), 'lure')
    writeFileSync(lure, after)
    lay(lure, besideOf(whole))
    t.match(readImageFile(whole), image)
    t.same(readFileSync(whole), Buffer.concat([before, memory]))
    rmSync(besideOf(whole), { recursive: true })
  }
})

t.test('what is no image', async t => {
  const whole = formatImage(image, { whole: true })
  const changed = (at: number, value: number) => {
    const bytes = Buffer.from(whole)
    bytes.writeUInt32LE(value, at)
    return bytes
  }
  const cases: [bytes: Uint8Array | string, message: RegExp, isCorrupt: boolean][] = [
    ['', /failed to read qemu header/, true],
    [whole.subarray(0, 91), /failed to read qemu header/, true],
    ['Lorem ipsum '.repeat(20), /image magic is incorrect/, true],
    [changed(16, 0x03030303), /image version is not supported \(50529027 > 2\)/, false],
    [changed(28, 7), /unsupported save image format: 7/, false],
    [changed(28, 0xffffffff), /unsupported save image format: -1/, false],
    [changed(20, 0), /invalid header data length: 0/, false],
    [changed(20, 0xffffffff), /failed to read domain XML/, false],
    [changed(32, 0x7fffffff), /failed to read domain XML/, false],
    [whole.subarray(0, 100), /failed to read domain XML/, false],
    [whole.subarray(0, 92 + Buffer.byteLength(XML) + 5), /failed to read cookie/, false]
  ]
  for (const [bytes, message, corrupt] of cases) {
    const file = written(t, bytes)
    t.match(await failureOf(() => readImageFile(file)), message)
    t.equal(isCorrupt(file), corrupt, String(message))
  }
  const gone = join(t.testdir({}), 'gone')
  t.match(await failureOf(() => readImageFile(gone)), `Failed to open file '${gone}': No such file or directory`)
  t.ok(isCorrupt(gone))
})

t.test('programs in between', async t => {
  t.same(await compressors('raw', 'save'), [])
  t.same(await compressors('sparse', 'save'), [])
  t.same(await compressors('gzip', 'save'), [{ program: 'gzip', args: ['-c'] }])
  t.same(await compressors('xz', 'save'), [{ program: 'xz', args: ['-c', '-3'] }])
  const { PATH } = process.env
  process.env.PATH = t.testdir({})
  const failed = failureOf(() => compressors('bzip2', 'save'))
  process.env.PATH = PATH
  t.match(await failed, /Compression program for save image format in configuration file isn't available/)
  t.same(decompressors({ format: 'lzop', version: 2 }), [{ program: 'lzop', args: ['-dc', '--ignore-warn'] }])
  t.same(decompressors({ format: 'gzip', version: 1 }), [], 'the first version knew no formats')
  // an image of libvirtd's begins anywhere
  const bytes = Buffer.concat([formatImage(image, { whole: true, length: 5000 }), Buffer.from('memory')])
  const file = written(t, bytes)
  const { fd, filters } = openMemory(file, readImageFile(file), true)
  closeSync(fd)
  t.same(
    filters.map(({ program, args }) => [program, args.at(-1)]),
    [
      ['dd', 'status=none'],
      ['tail', `+${(5092 % 4096) + 1}`],
      ['zstd', '-dc']
    ]
  )
})
