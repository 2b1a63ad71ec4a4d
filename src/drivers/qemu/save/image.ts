// The file a guest's memory is saved in, in libvirt's own format (virQEMUSaveHeader):
//
//   bytes   16  "LibvirtQemudSave"; "LibvirtQemudPart" as long as it is not whole
//            4  version 2; a reader of the other byte order finds it too large, and turns all five
//            4  length of what is between header and memory
//            4  the guest ran
//            4  format of the memory, a number of FORMATS
//            4  where its cookie begins, behind the XML; 0: it has none
//           56  unused
//   XML, 0, cookie, 0, padding      the XML can grow a little in place
//   memory and device state, as QEMU migrates them
//
// The mark that it is whole is set when all else is on disk: what is not whole is never restored.
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
  writeSync
} from 'node:fs'
import { access } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { commonEnvironment } from '../../../host/command.ts'
import type { Filter } from '../../../host/filter.ts'
import { removeSynced, syncDirectory, writeAtomic } from '../../../state/store.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const broken = (message: string) => fail('VIR_ERR_OPERATION_FAILED', message)

/** By their numbers in a file (virQEMUSaveFormat). */
export const SAVE_FORMATS = ['raw', 'gzip', 'bzip2', 'xz', 'lzop', 'zstd', 'sparse'] as const
export type SaveFormat = (typeof SAVE_FORMATS)[number]

const WHOLE = 'LibvirtQemudSave'
const PARTIAL = 'LibvirtQemudPart'
const VERSION = 2
const HEADER_BYTES = 92
/** offsets of its numbers */
const AT = { version: 16, length: 20, running: 24, format: 28, cookie: 32 } as const

/** The XML can be edited in place, and be larger then. */
const PADDING_BYTES = 64 * 1024
/** Memory begins at a multiple, where it can be written past the page cache. */
const ALIGNMENT = 4096
/** Beyond that nothing is XML. */
const LENGTH_MAX = 64 * 1024 * 1024

/** All of an image but the memory. */
export interface SaveImage {
  /** the guest is to run once it is restored */
  running: boolean
  format: SaveFormat
  /** <domain>, migratable and with secrets */
  xml: string
  /** <cookie>, a document of its own; libvirts before 3.8 wrote none */
  cookie?: string | undefined
}

/** An image that is there. */
export interface ReadImage extends SaveImage {
  /** room for XML and cookie, in bytes */
  length: number
  version: number
}

/** The offset of the memory. */
export const memoryOffset = ({ length }: Pick<ReadImage, 'length'>): number => HEADER_BYTES + length

const zeroTerminated = (text: string | undefined) => (text === undefined ? '' : `${text}\0`)

/**
 * The bytes before the memory (virQEMUSaveDataWrite).
 * @param length the room there is; absent: as much as it takes and some more
 * @throws VIR_ERR_OPERATION_FAILED where that does not do
 */
export function formatImage(
  image: SaveImage,
  { whole = false, length }: { whole?: boolean; length?: number } = {}
): Buffer {
  const xml = Buffer.from(zeroTerminated(image.xml))
  const cookie = Buffer.from(zeroTerminated(image.cookie))
  const used = xml.length + cookie.length
  if (length !== undefined && used > length) throw broken('new xml too large to fit in file')
  const header = Buffer.alloc(HEADER_BYTES)
  header.write(whole ? WHOLE : PARTIAL, 'latin1')
  const room = length ?? Math.ceil((HEADER_BYTES + used + PADDING_BYTES) / ALIGNMENT) * ALIGNMENT - HEADER_BYTES
  header.writeUInt32LE(VERSION, AT.version)
  header.writeUInt32LE(room, AT.length)
  header.writeUInt32LE(Number(image.running), AT.running)
  header.writeUInt32LE(SAVE_FORMATS.indexOf(image.format), AT.format)
  header.writeUInt32LE(image.cookie === undefined ? 0 : xml.length, AT.cookie)
  return Buffer.concat([header, xml, cookie, Buffer.alloc(room - used)])
}

/** Reads that many bytes from where the file stands; fewer at its end. */
function read(fd: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  let got = 0
  for (let n = -1; n !== 0 && got < bytes; got += n) n = readSync(fd, buffer, got, bytes - got, null)
  return buffer.subarray(0, got)
}

const textUpTo0 = (bytes: Buffer): string => bytes.toString().split('\0', 1)[0]!

/**
 * Reads an image up to its memory, where the file stands then (qemuSaveImageReadHeader).
 * @throws VIR_ERR_OPERATION_FAILED for what is no image, not a whole one or one of a newer libvirt
 */
export function readImage(fd: number): ReadImage {
  const header = read(fd, HEADER_BYTES)
  if (header.length < HEADER_BYTES) throw broken('failed to read qemu header')
  const magic = header.toString('latin1', 0, WHOLE.length)
  if (magic !== WHOLE) throw broken(magic === PARTIAL ? 'save image is incomplete' : 'image magic is incorrect')
  const isTurned = header.readUInt32LE(AT.version) > VERSION
  const number = (at: number) => (isTurned ? header.readUInt32BE(at) : header.readUInt32LE(at))
  const version = number(AT.version)
  if (version > VERSION) throw broken(`image version is not supported (${version | 0} > ${VERSION})`)
  const format = SAVE_FORMATS[number(AT.format)]
  if (format === undefined) throw broken(`unsupported save image format: ${number(AT.format) | 0}`)
  const length = number(AT.length)
  if (length === 0) throw broken(`invalid header data length: ${length}`)
  const cookieAt = number(AT.cookie)
  const data = length > LENGTH_MAX ? Buffer.alloc(0) : read(fd, length)
  const xmlLength = cookieAt || length
  if (data.length < xmlLength) throw broken('failed to read domain XML')
  if (data.length < length) throw broken('failed to read cookie')
  return {
    version,
    format,
    length,
    running: number(AT.running) !== 0,
    xml: textUpTo0(data.subarray(0, xmlLength)),
    cookie: xmlLength < length ? textUpTo0(data.subarray(xmlLength)) : undefined
  }
}

/**
 * True for what a start may remove and boot anew: it is not there, or has not the mark of a whole image
 * (qemuSaveImageIsCorrupt). Differs from libvirt: what cannot be opened or read is not taken for broken.
 */
export function isCorrupt(path: string): boolean {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const header = read(fd, HEADER_BYTES)
      return header.length < HEADER_BYTES || header.toString('latin1', 0, WHOLE.length) !== WHOLE
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

const { O_CREAT, O_DIRECT, O_NOCTTY, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = constants

/**
 * Opens a file to be written, empty (qemuSaveImageCreateFd).
 * @param bypassCache it is going to be written past the page cache, which not every file system can do
 * @param announce is told that it is going to be made, or that it is there already
 * @throws VIR_ERR_SYSTEM_ERROR
 */
export function createFile(path: string, bypassCache: boolean, announce: (made: boolean) => void): number {
  const isNew = !existsSync(path)
  announce(isNew)
  try {
    if (!isNew) forgetRewrite(path)
    const fd = openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY, 0o600)
    if (bypassCache) closeSync(openSync(path, O_WRONLY | O_DIRECT | O_NONBLOCK | O_NOCTTY))
    return fd
  } catch (error) {
    throw systemError('VIR_FROM_QEMU', `Failed to create file '${path}'`, error)
  }
}

/** Opens a file that is there. @throws VIR_ERR_SYSTEM_ERROR */
export function openFile(path: string, { write = false, bypassCache = false } = {}): number {
  if (bypassCache) closeSync(openDirect(path))
  return open(path, write ? O_RDWR : O_RDONLY)
}

/** Opens a file that is there past the page cache, for one way. @throws VIR_ERR_SYSTEM_ERROR, also where that cannot be */
export function openDirect(path: string, { write = false } = {}): number {
  return open(path, (write ? O_WRONLY : O_RDONLY) | O_DIRECT)
}

function open(path: string, flags: number): number {
  try {
    return openSync(path, flags | O_NONBLOCK | O_NOCTTY)
  } catch (error) {
    throw systemError('VIR_FROM_QEMU', `Failed to open file '${path}'`, error)
  }
}

/** Writes at a place of a file, all of it. @throws VIR_ERR_SYSTEM_ERROR saying what could not be written */
export function writeAll(fd: number, bytes: Uint8Array, what: string, at: number | null = null): void {
  try {
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(fd, bytes, done, bytes.length - done, at === null ? null : at + done)
    }
  } catch (error) {
    throw systemError('VIR_FROM_QEMU', what, error)
  }
}

/** Marks an image whose memory is on disk as whole, and has it stay (virQEMUSaveDataFinish). @throws VIR_ERR_SYSTEM_ERROR */
export function finishImage(path: string): void {
  const fd = openFile(path, { write: true })
  try {
    writeAll(fd, Buffer.from(WHOLE), `failed to write header to domain save file '${path}'`, 0)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  syncDirectory(dirname(path))
}

/** Reads all of an image but its memory (qemuSaveImageGetMetadata). @throws VIR_ERR_SYSTEM_ERROR, and as readImage */
export function readImageFile(path: string): ReadImage {
  const fd = openFile(path)
  try {
    finishRewrite(path, fd)
    return readImage(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * The file beside an image that has what is being written over its beginning. It is known by the image's inode and size:
 * another image at that path, as of a later save, is none of its business.
 */
function rewriteOf(path: string, fd: number): string {
  const { ino, size } = fstatSync(fd, { bigint: true })
  return join(dirname(path), `.${basename(path)}.${ino}-${size}`)
}

/** Has nobody finish it any more: the image is going to be another. */
function forgetRewrite(path: string): void {
  const fd = openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
  try {
    removeSynced(rewriteOf(path, fd))
  } finally {
    closeSync(fd)
  }
}

/**
 * Writes over all of an image but its memory, which may be many GiB: in place. A process that is killed meanwhile, or a host
 * that goes down, leaves it half written, with all of the new beginning in a synced file beside it: whoever reads the image
 * next through readImageFile finishes that first. libvirt writes in place without it.
 * @throws VIR_ERR_SYSTEM_ERROR; the image is what it was then, or will be what it is to be
 */
export function rewriteImage(path: string, bytes: Uint8Array): void {
  const fd = openFile(path, { write: true })
  try {
    const rewrite = rewriteOf(path, fd)
    writeAtomic(rewrite, bytes)
    overwrite(fd, path, bytes)
    removeSynced(rewrite)
  } finally {
    closeSync(fd)
  }
}

function overwrite(fd: number, path: string, bytes: Uint8Array): void {
  writeAll(fd, bytes, `failed to write header to domain save file '${path}'`, 0)
  fsyncSync(fd)
}

/**
 * Finishes what a former process was writing over an image's beginning. Where an image lies, others may be let write:
 * nothing but a file of our own is taken for it. @throws VIR_ERR_SYSTEM_ERROR
 */
function finishRewrite(path: string, image: number): void {
  const rewrite = rewriteOf(path, image)
  const found = lstatSync(rewrite, { throwIfNoEntry: false })
  if (!found?.isFile() || found.nlink > 1 || found.uid !== process.geteuid!() || (found.mode & 0o022) !== 0) return
  if (found.size > HEADER_BYTES + LENGTH_MAX) return
  const bytes = readFileSync(rewrite)
  const fd = openFile(path, { write: true })
  try {
    overwrite(fd, path, bytes)
  } finally {
    closeSync(fd)
  }
  removeSynced(rewrite)
}

const DD = 'dd'
const BLOCK = 'bs=1M'

/** Writes past the page cache what it reads; the end of a file need not be a whole block. */
export const DIRECT_INTO: Filter = { program: DD, args: [BLOCK, 'iflag=fullblock', 'oflag=direct', 'status=none'] }
const DIRECT_OUT_OF: Filter = { program: DD, args: [BLOCK, 'iflag=direct', 'status=none'] }

/** Options of the program that compresses; the format is its name. */
const COMPRESS: Partial<Record<SaveFormat, readonly string[]>> = { xz: ['-c', '-3'] }
const DECOMPRESS: Partial<Record<SaveFormat, readonly string[]>> = { lzop: ['-dc', '--ignore-warn'] }

const isPlain = (format: SaveFormat) => format === 'raw' || format === 'sparse'

/**
 * The programs that compress what QEMU writes (qemuSaveImageGetCompressionProgram).
 * @param style what the format is of: save, dump, snapshot
 * @throws VIR_ERR_OPERATION_FAILED where the program is not there
 */
export async function compressors(format: SaveFormat, style: string): Promise<Filter[]> {
  if (isPlain(format)) return []
  const { PATH = '' } = commonEnvironment()
  const found = PATH.split(':').map(dir => access(join(dir, format), constants.X_OK))
  await Promise.any(found).catch(() => {
    throw broken(`Compression program for ${style} image format in configuration file isn't available`)
  })
  return [{ program: format, args: COMPRESS[format] ?? ['-c'] }]
}

/** The programs that decompress what QEMU reads; version 1 knows none (qemuSaveImageDecompressionStart). */
export function decompressors({ format, version }: Pick<ReadImage, 'format' | 'version'>): Filter[] {
  if (version !== VERSION || isPlain(format)) return []
  return [{ program: format, args: DECOMPRESS[format] ?? ['-dc'] }]
}

/**
 * Opens an image where its memory begins, and names the programs that make of the file what QEMU reads.
 * @param bypassCache reads it past the page cache; libvirt's own images do not begin where that can be done
 * @throws VIR_ERR_SYSTEM_ERROR
 */
export function openMemory(path: string, image: ReadImage, bypassCache: boolean): { fd: number; filters: Filter[] } {
  const offset = memoryOffset(image)
  const rest = bypassCache ? offset % ALIGNMENT : 0
  const fd = openFile(path, { bypassCache })
  read(fd, offset - rest)
  const skipped = rest > 0 ? [{ program: 'tail', args: ['-c', `+${rest + 1}`] }] : []
  return { fd, filters: [...(bypassCache ? [DIRECT_OUT_OF, ...skipped] : []), ...decompressors(image)] }
}
