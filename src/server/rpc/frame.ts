// Packets of libvirt's RPC: a length word, a header of six words, a payload.
//
//   | length | program | version | procedure | type | serial | status | payload … |
//
// The length counts itself. The payload of a call that brings files begins with their number; each follows the packet
// with a byte of its own, which the length does not count. Source: virnetprotocol.x.
import { type ErrorCode, type ErrorDomain, VirError } from '../../conf/error.ts'
import { ERROR_CODES, ERROR_DOMAINS } from '../../conf/error-table.ts'
import type { ReceivedFiles } from '../../host/received-files.ts'
import { fieldsOf, readFields, writeFields } from './codec.ts'
import type { FieldsIn } from './notation.ts'
import { STRUCTURES, type Structures } from './remote-protocol.ts'
import { XdrReader, XdrWriter } from './xdr.ts'

export const REMOTE_PROGRAM = 0x20008086
export const QEMU_PROGRAM = 0x20008087
export const KEEPALIVE_PROGRAM = 0x6b656570
export const PROTOCOL_VERSION = 1

/** virNetMessageType */
export const MessageType = {
  CALL: 0,
  REPLY: 1,
  MESSAGE: 2,
  STREAM: 3,
  CALL_WITH_FDS: 4,
  REPLY_WITH_FDS: 5,
  STREAM_HOLE: 6
} as const

/** virNetMessageStatus */
export const MessageStatus = { OK: 0, ERROR: 1, CONTINUE: 2 } as const

export interface Header {
  program: number
  version: number
  procedure: number
  type: number
  serial: number
  status: number
}

export interface Frame extends Header {
  /** the whole packet, to be passed on as it is */
  bytes: Buffer
  /** files that follow it */
  fileCount: number
  /** those files, once they have been received */
  files?: ReceivedFiles
}

/** Key that a call, its reply and its stream have in common. */
export const frameKey = ({ program, procedure, serial }: Header): string => `${program}/${procedure}/${serial}`

const LENGTH_SIZE = 4
export const HEADER_SIZE = 24
const PAYLOAD_AT = LENGTH_SIZE + HEADER_SIZE
const TYPE_AT = 16
/** The word that says how many files follow a call. */
const COUNT_SIZE = 4
/** VIR_NET_MESSAGE_NUM_FDS_MAX */
const FILES_MAX = 32
/** VIR_NET_MESSAGE_MAX and its length word. */
const FRAME_MAX = 32 * 1024 * 1024 + LENGTH_SIZE
/** Memory for a frame before more of it has come. */
const FIRST_ROOM = 64 * 1024
/** Payload of one stream packet, as old clients can take it (VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX). */
export const STREAM_PAYLOAD_MAX = 262_120

/** Reads the items of a packet's payload; a count of files goes before them. */
export const readerOf = ({ bytes, type }: Frame): XdrReader =>
  new XdrReader(bytes, type === MessageType.CALL_WITH_FDS ? PAYLOAD_AT + COUNT_SIZE : PAYLOAD_AT)

/** A packet's payload as it is; shares the packet's memory. */
export const payloadOf = ({ bytes }: Frame): Buffer => bytes.subarray(PAYLOAD_AT)

/** A peer that does not speak the protocol. */
export class FrameError extends Error {}

/**
 * Cuts a byte stream into frames. Who reads no more than there is `room` for never reads beyond a frame, as libvirt's
 * daemon does not. What has not arrived yet takes no memory.
 */
export class FrameReader {
  readonly #head = Buffer.allocUnsafeSlow(PAYLOAD_AT)
  /** the frame that comes in, as far as there is memory for it */
  #bytes: Buffer = this.#head
  #have = 0
  #skip = 0

  /** The place for the bytes that come next, as many or fewer. */
  get room(): Buffer {
    return this.#have === 0 ? this.#bytes : this.#bytes.subarray(this.#have)
  }

  /** Takes what stands in `room` now; gives the frame it completes. @throws FrameError for one that cannot be */
  filled(count: number): Frame | undefined {
    this.#have += this.#skip === 0 ? count : this.#skipped(count)
    if (this.#have < LENGTH_SIZE) return undefined
    const length = this.#bytes.readUInt32BE(0)
    if (length < PAYLOAD_AT || length > FRAME_MAX) throw new FrameError(`packet of ${length} bytes`)
    if (this.#have < this.#bytes.length) return undefined
    if (this.#have < length) {
      this.#bytes = grown(this.#bytes, length)
      return undefined
    }
    const bytes = this.#bytes === this.#head ? Buffer.from(this.#head) : this.#bytes
    this.#bytes = this.#head
    this.#have = 0
    return readFrame(bytes)
  }

  /** Passes over that many bytes before the next frame. */
  skip(count: number): void {
    this.#skip += count
  }

  /** @returns the bytes that are left of those that came */
  #skipped(count: number): number {
    const { room } = this
    const here = Math.min(this.#skip, count)
    this.#skip -= here
    room.copyWithin(0, here, count)
    return count - here
  }

  /** Frames completed by this chunk. @throws FrameError */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = []
    for (let at = 0; at < chunk.length; ) {
      const count = chunk.copy(this.room, 0, at)
      at += count
      const frame = this.filled(count)
      if (frame) frames.push(frame)
    }
    return frames
  }
}

function grown(bytes: Buffer, length: number): Buffer {
  const more = Buffer.allocUnsafe(Math.min(length, Math.max(FIRST_ROOM, 2 * bytes.length)))
  bytes.copy(more)
  return more
}

/** @throws FrameError for more files than there may be */
function readFrame(bytes: Buffer): Frame {
  const type = bytes.readInt32BE(TYPE_AT)
  return {
    program: bytes.readUInt32BE(4),
    version: bytes.readUInt32BE(8),
    procedure: bytes.readInt32BE(12),
    type,
    serial: bytes.readUInt32BE(20),
    status: bytes.readInt32BE(24),
    bytes,
    fileCount: type === MessageType.CALL_WITH_FDS ? filesOf(bytes) : 0
  }
}

function filesOf(bytes: Buffer): number {
  if (bytes.length < PAYLOAD_AT + COUNT_SIZE) throw new FrameError('a call with files that does not say how many')
  const count = bytes.readUInt32BE(PAYLOAD_AT)
  if (count > FILES_MAX) throw new FrameError(`${count} files with a call`)
  return count
}

/** The same call as one that brings no files. */
export function withoutFiles({ bytes }: Frame): Frame {
  const plain = Buffer.concat([bytes.subarray(0, PAYLOAD_AT), bytes.subarray(PAYLOAD_AT + COUNT_SIZE)])
  plain.writeUInt32BE(plain.length, 0)
  plain.writeInt32BE(MessageType.CALL, TYPE_AT)
  return readFrame(plain)
}

/** One packet; `payload` writes what follows the header. */
export function makeFrame(header: Header, payload?: (to: XdrWriter) => void): Buffer {
  const to = new XdrWriter(FRAME_MAX)
  to.uint(0)
  to.uint(header.program)
  to.uint(header.version)
  to.int(header.procedure)
  to.int(header.type)
  to.uint(header.serial)
  to.int(header.status)
  payload?.(to)
  to.patchUint(0, to.length)
  return to.bytes
}

/** A packet around raw bytes, which XDR would pad. */
export function makeRawFrame(header: Header, payload: Uint8Array): Buffer[] {
  const head = makeFrame(header)
  head.writeUInt32BE(head.length + payload.length, 0)
  return [head, Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)]
}

/** A message may quote an argument, and is to fit into a string all the same. */
const MESSAGE_LENGTH_MAX = 1024 * 1024
const shortened = (text: string) => text.slice(0, MESSAGE_LENGTH_MAX)

/** virErrorLevel's VIR_ERR_ERROR */
const LEVEL_ERROR = 2
const ERROR_FIELDS = fieldsOf(STRUCTURES.error!)

/** libvirt's error structure, as virReportError fills it. */
export function writeError(error: VirError, to: XdrWriter): void {
  const { code, domain } = error.toJSON()
  const { template, detail } = error
  const [message, str2] = [shortened(error.message), detail && shortened(detail)]
  writeFields(ERROR_FIELDS, { code, domain, message, level: LEVEL_ERROR, str1: template, str2, int1: -1, int2: -1 }, to)
}

const CODE_NAMES = new Map<number, ErrorCode>(
  Object.entries(ERROR_CODES).map(([name, [number]]) => [number, name as ErrorCode])
)
const DOMAIN_NAMES = new Map<number, ErrorDomain>(
  Object.entries(ERROR_DOMAINS).map(([name, [number]]) => [number, name as ErrorDomain])
)

/** Another daemon's error as it reported it; codes of later libvirt versions become VIR_ERR_INTERNAL_ERROR. */
export function readError(from: XdrReader): VirError {
  const { code, domain, message } = readFields<FieldsIn<Structures['error']>>(ERROR_FIELDS, from)
  const codeName = CODE_NAMES.get(code) ?? 'VIR_ERR_INTERNAL_ERROR'
  const [, bare, template] = ERROR_CODES[codeName]
  const domainName = DOMAIN_NAMES.get(domain) ?? 'VIR_FROM_NONE'
  if (message === undefined || message === bare) return new VirError(domainName, codeName)
  const [before = '', after = ''] = template.split('%s')
  return message.startsWith(before) && message.endsWith(after)
    ? new VirError(domainName, codeName, message.slice(before.length, message.length - after.length))
    : new VirError(domainName, codeName, message, { isWhole: true })
}
