// Packets of libvirt's RPC: a length word, a header of six words, a payload.
//
//   | length | program | version | procedure | type | serial | status | payload … |
//
// The length counts itself. Source: virnetprotocol.x.
import { type ErrorCode, type ErrorDomain, VirError } from '../../conf/error.ts'
import { ERROR_CODES, ERROR_DOMAINS } from '../../conf/error-table.ts'
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
}

/** Key that a call, its reply and its stream have in common. */
export const frameKey = ({ program, procedure, serial }: Header): string => `${program}/${procedure}/${serial}`

const LENGTH_SIZE = 4
export const HEADER_SIZE = 24
const PAYLOAD_AT = LENGTH_SIZE + HEADER_SIZE
const FILES_MAX = 32
/** VIR_NET_MESSAGE_MAX and its length word. */
const FRAME_MAX = 32 * 1024 * 1024 + LENGTH_SIZE
/** Payload of one stream packet, as old clients can take it (VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX). */
export const STREAM_PAYLOAD_MAX = 262_120

/** Reads the items of a packet's payload. */
export const readerOf = ({ bytes }: Frame): XdrReader => new XdrReader(bytes, PAYLOAD_AT)

/** A packet's payload as it is; shares the packet's memory. */
export const payloadOf = ({ bytes }: Frame): Buffer => bytes.subarray(PAYLOAD_AT)

/** A peer that does not speak the protocol. */
export class FrameError extends Error {}

/** Cuts a byte stream into frames. What has not arrived yet takes no memory. */
export class FrameReader {
  #chunks: Buffer[] = []
  #have = 0
  /** bytes to come that go with files */
  #fileBytes = 0

  /** Frames completed by this chunk. @throws FrameError for a length no frame can have */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = []
    this.#chunks.push(chunk)
    this.#have += chunk.length
    this.#dropFiles(0)
    while (this.#have >= LENGTH_SIZE) {
      const length = this.#peekLength()
      if (length < PAYLOAD_AT || length > FRAME_MAX) {
        throw new FrameError(`packet of ${length} bytes`)
      }
      if (this.#have < length) break
      const frame = readFrame(this.#take(length))
      frames.push(frame)
      if (frame.type === MessageType.CALL_WITH_FDS) this.#dropFiles(filesOf(frame))
    }
    return frames
  }

  /** Drops the byte each file travels with behind its call; the kernel closes the files themselves. */
  #dropFiles(more: number): void {
    this.#fileBytes += more
    const here = Math.min(this.#fileBytes, this.#have)
    if (here > 0) this.#take(here)
    this.#fileBytes -= here
  }

  #peekLength(): number {
    if (this.#chunks[0]!.length < LENGTH_SIZE) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0]!.readUInt32BE(0)
  }

  #take(length: number): Buffer {
    const [first] = this.#chunks
    const all = this.#chunks.length === 1 ? first! : Buffer.concat(this.#chunks)
    this.#have = all.length - length
    this.#chunks = this.#have > 0 ? [all.subarray(length)] : []
    return this.#have > 0 ? all.subarray(0, length) : all
  }
}

/** The files that follow a call. @throws FrameError for more than there may be (VIR_NET_MESSAGE_NUM_FDS_MAX) */
function filesOf({ bytes }: Frame): number {
  const count = bytes.length < PAYLOAD_AT + LENGTH_SIZE ? 0 : bytes.readUInt32BE(PAYLOAD_AT)
  if (count > FILES_MAX) throw new FrameError(`${count} files with a call`)
  return count
}

function readFrame(bytes: Buffer): Frame {
  return {
    program: bytes.readUInt32BE(4),
    version: bytes.readUInt32BE(8),
    procedure: bytes.readInt32BE(12),
    type: bytes.readInt32BE(16),
    serial: bytes.readUInt32BE(20),
    status: bytes.readInt32BE(24),
    bytes
  }
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
