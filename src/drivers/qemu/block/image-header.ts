// The image below, as the header of an image tells it (QEMU's docs/interop/qcow2.txt and qed_spec.txt, VMDK 5.0).
import { closeSync, readSync } from 'node:fs'
import { type StorageFormat, storageFormat } from '../../../conf/storage/source.ts'
import { openPlainFile } from '../../../host/plain-file.ts'

/** The image below, as a header names it: its name as written, and its format if that is told too. */
export interface Backing {
  name: string
  format?: StorageFormat
}

/** As much of an image as libvirt looks at. */
const HEADER_MAX = 33 * 1024

/** The first bytes of a file or block device; nothing else is waited for. @throws Error with what the system says */
export function readHeader(path: string): Buffer {
  const fd = openPlainFile(path)
  try {
    const header = Buffer.alloc(HEADER_MAX)
    return header.subarray(0, readSync(fd, header, 0, HEADER_MAX, 0))
  } finally {
    closeSync(fd)
  }
}

const QCOW_MAGIC = 0x514649fb // QFI\xfb
const QED_MAGIC = 0x51454400 // QED\0
const VMDK_MAGIC = 0x4b444d56 // KDMV
/** Signatures in the header, the first that fits counts; everything else is raw. */
const SIGNATURES: [format: StorageFormat, fits: (header: Buffer) => boolean][] = [
  ['qcow2', header => magicOf(header) === QCOW_MAGIC && header.readUInt32BE(4) > 1],
  ['qcow', header => magicOf(header) === QCOW_MAGIC && header.readUInt32BE(4) === 1],
  ['qed', header => magicOf(header) === QED_MAGIC],
  ['vmdk', header => magicOf(header) === VMDK_MAGIC],
  ['vpc', header => header.subarray(0, 8).toString('latin1') === 'conectix'],
  ['vhd', header => header.subarray(0, 8).toString('latin1') === 'vhdxfile'],
  ['vdi', header => header.length >= 68 && header.readUInt32LE(64) === 0xbeda107f]
]

const magicOf = (header: Buffer): number => (header.length >= 8 ? header.readUInt32BE(0) : 0)

/** The format of an image by its signature. */
export function probeFormat(header: Buffer): StorageFormat {
  return SIGNATURES.find(([, fits]) => fits(header))?.[0] ?? 'raw'
}

//   0 magic  4 version  8 backing file offset (64)  16 its length  …  100 length of the header (version 3)
const QCOW_BACKING_OFFSET = 8
const QCOW_BACKING_SIZE = 16
const QCOW2_V2_HEADER_SIZE = 72
const QCOW2_V3_HEADER_SIZE_AT = 100
const QCOW_NAME_MAX = 1023
const EXTENSION_END = 0
const EXTENSION_BACKING_FORMAT = 0xe2792aca
const EXTENSION_DATA_FILE = 0x44415441
const QCOW2_INCOMPATIBLE_AT = 72
const QCOW2_EXTERNAL_DATA = 1n << 2n

/** A header that contradicts itself, or ends too soon. */
export class BrokenHeader extends Error {}

function slice(header: Buffer, offset: number, size: number): Buffer {
  if (offset + size > header.length) throw new BrokenHeader(`offset ${offset} is beyond the header`)
  return header.subarray(offset, offset + size)
}

/** A name ends where C's strings do. */
const nameIn = (header: Buffer, offset: number, size: number): string =>
  slice(header, offset, size).toString().split('\0', 1)[0]!

function qcowBacking(header: Buffer): Backing | undefined {
  const offset = Number(header.readBigUInt64BE(QCOW_BACKING_OFFSET))
  const size = header.readUInt32BE(QCOW_BACKING_SIZE)
  if (offset === 0 || size === 0) return undefined
  if (size > QCOW_NAME_MAX) throw new BrokenHeader(`name of ${size} bytes`)
  const name = nameIn(header, offset, size)
  if (name === '') return undefined
  const format = header.readUInt32BE(4) > 1 ? qcow2BackingFormat(header, offset) : undefined
  return { name, ...(format && { format }) }
}

/** Data of a header extension. They lie between the header and the backing name: type, length, data padded to 8 bytes. */
function qcow2Extension(header: Buffer, wanted: number, end: number): Buffer | undefined {
  const version = header.readUInt32BE(4)
  let at = version === 2 ? QCOW2_V2_HEADER_SIZE : header.readUInt32BE(QCOW2_V3_HEADER_SIZE_AT)
  while (at + 8 <= Math.min(end, header.length)) {
    const type = header.readUInt32BE(at)
    const length = header.readUInt32BE(at + 4)
    if (type === EXTENSION_END) return undefined
    if (type === wanted) return slice(header, at + 8, length)
    at += 8 + Math.ceil(length / 8) * 8
  }
  return undefined
}

function qcow2BackingFormat(header: Buffer, end: number): StorageFormat | undefined {
  const name = qcow2Extension(header, EXTENSION_BACKING_FORMAT, end)?.toString()
  if (name === undefined) return undefined
  // QEMU takes the name of a protocol too, for one that has no format
  return storageFormat.parse(name) ?? 'raw'
}

/**
 * The file beside a qcow2 image that has its data, '' where the header does not name it; undefined for an image that
 * has its own.
 */
export function dataFileOf(header: Buffer): string | undefined {
  if (probeFormat(header) !== 'qcow2' || header.readUInt32BE(4) < 3 || header.length < QCOW2_V3_HEADER_SIZE_AT + 4) {
    return undefined
  }
  if ((header.readBigUInt64BE(QCOW2_INCOMPATIBLE_AT) & QCOW2_EXTERNAL_DATA) === 0n) return undefined
  return qcow2Extension(header, EXTENSION_DATA_FILE, header.length)?.toString().split('\0', 1)[0] ?? ''
}

//   16 features (64)  56 backing file offset  60 its length
const QED_FEATURES = 16
const QED_BACKING_OFFSET = 56
const QED_BACKING_SIZE = 60
const QED_HAS_BACKING = 1n
const QED_BACKING_IS_RAW = 4n

function qedBacking(header: Buffer): Backing | undefined {
  const features = header.readBigUInt64LE(QED_FEATURES)
  if (!(features & QED_HAS_BACKING)) return undefined
  const name = nameIn(header, header.readUInt32LE(QED_BACKING_OFFSET), header.readUInt32LE(QED_BACKING_SIZE))
  if (name === '') return undefined
  return { name, ...(features & QED_BACKING_IS_RAW && { format: 'raw' as const }) }
}

/** The descriptor, text, follows the first sector. */
function vmdkBacking(header: Buffer): Backing | undefined {
  const descriptor = header.subarray(0x200).toString().split('\0', 1)[0]!
  const name = /parentFileNameHint="([^"]*)"/.exec(descriptor)?.[1]
  return name ? { name } : undefined
}

/** Readers of the size the guest sees, in bytes or sectors, by format. */
const SIZES: { [F in StorageFormat]?: (header: Buffer) => bigint } = {
  qcow: header => header.readBigUInt64BE(24),
  qcow2: header => header.readBigUInt64BE(24),
  qed: header => header.readBigUInt64LE(48),
  vmdk: header => header.readBigUInt64LE(12) * 512n,
  vpc: header => header.readBigUInt64BE(40),
  vdi: header => header.readBigUInt64LE(368)
}

/** The size a guest sees of an image of that format, in bytes; undefined where the header does not say. */
export function capacityOf(header: Buffer, format: StorageFormat): bigint | undefined {
  try {
    return probeFormat(header) === format ? SIZES[format]?.(header) : undefined
  } catch {
    // cut short
    return undefined
  }
}

const READERS: { [F in StorageFormat]?: (header: Buffer) => Backing | undefined } = {
  qcow: qcowBacking,
  qcow2: qcowBacking,
  qed: qedBacking,
  vmdk: vmdkBacking
}

/**
 * The image below, from the header of an image of that format; undefined if there is none, or if the image is
 * of another format, which QEMU will say.
 * @throws BrokenHeader for a header that contradicts itself or ends too soon
 */
export function backingOf(header: Buffer, format: StorageFormat): Backing | undefined {
  if (probeFormat(header) !== format) return undefined
  try {
    return READERS[format]?.(header)
  } catch (error) {
    throw error instanceof RangeError ? new BrokenHeader('the header is cut short') : error
  }
}
