// XDR (RFC 4506), as far as libvirt's protocol uses it: every item a multiple of four bytes, big endian.
import { errorsFrom } from '../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_RPC')

const ZEROS = Buffer.alloc(4)
const padding = (length: number) => -length & 3

/** Reads items one after the other. Every read is checked against the end: the sender is not trusted. */
export class XdrReader {
  readonly #bytes: Buffer
  #at = 0

  /** @param at where the first item begins */
  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes
    this.#at = at
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at
  }

  /** Takes `length` bytes. @throws VIR_ERR_RPC when there are fewer */
  #take(length: number): number {
    const at = this.#at
    if (length > this.#bytes.length - at) throw fail('VIR_ERR_RPC', 'Unable to decode message payload')
    this.#at = at + length
    return at
  }

  int(): number {
    return this.#bytes.readInt32BE(this.#take(4))
  }

  uint(): number {
    return this.#bytes.readUInt32BE(this.#take(4))
  }

  hyper(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8))
  }

  uhyper(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8))
  }

  double(): number {
    return this.#bytes.readDoubleBE(this.#take(8))
  }

  /** Bytes of a length known to both sides. The result shares the message's memory. */
  fixed(length: number): Buffer {
    const at = this.#take(length + padding(length))
    return this.#bytes.subarray(at, at + length)
  }

  /** The length of something variable. @throws VIR_ERR_RPC when it is beyond the protocol's limit */
  length(max: number): number {
    const length = this.uint()
    if (length > max) throw fail('VIR_ERR_RPC', `Unable to decode message payload: length ${length} is beyond ${max}`)
    return length
  }

  opaque(max: number): Buffer {
    return this.fixed(this.length(max))
  }

  string(max: number): string {
    const length = this.length(max)
    const at = this.#take(length + padding(length))
    return this.#bytes.toString('utf8', at, at + length)
  }

  /** Bytes of a length known to both sides, as hexadecimal digits. */
  hex(length: number): string {
    const at = this.#take(length + padding(length))
    return this.#bytes.toString('hex', at, at + length)
  }

  /** The raw rest, stream data for instance. */
  rest(): Buffer {
    return this.#bytes.subarray(this.#take(this.left))
  }
}

/** Writes items one after the other into a buffer that grows. */
export class XdrWriter {
  #bytes = Buffer.allocUnsafe(128)
  #at = 0
  readonly #max: number

  /** @param max bytes that can be written */
  constructor(max = Number.POSITIVE_INFINITY) {
    this.#max = max
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#at
  }

  /** The bytes written so far; shares the writer's memory. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }

  /** @throws VIR_ERR_RPC when there is none */
  #room(length: number): number {
    const at = this.#at
    if (at + length > this.#max) throw fail('VIR_ERR_RPC', 'Unable to encode message payload')
    this.#at = at + length
    if (this.#at > this.#bytes.length) {
      const bigger = Buffer.allocUnsafe(Math.max(this.#at, this.#bytes.length * 2))
      this.#bytes.copy(bigger, 0, 0, at)
      this.#bytes = bigger
    }
    return at
  }

  int(value: number): void {
    const at = this.#room(4)
    this.#bytes.writeInt32BE(value, at)
  }

  uint(value: number): void {
    const at = this.#room(4)
    this.#bytes.writeUInt32BE(value, at)
  }

  hyper(value: bigint | number): void {
    const at = this.#room(8)
    this.#bytes.writeBigInt64BE(BigInt(value), at)
  }

  uhyper(value: bigint | number): void {
    const at = this.#room(8)
    this.#bytes.writeBigUInt64BE(BigInt(value), at)
  }

  double(value: number): void {
    const at = this.#room(8)
    this.#bytes.writeDoubleBE(value, at)
  }

  fixed(value: Uint8Array): void {
    const pad = padding(value.length)
    const at = this.#room(value.length + pad)
    this.#bytes.set(value, at)
    if (pad > 0) this.#bytes.set(ZEROS.subarray(0, pad), at + value.length)
  }

  /** @throws VIR_ERR_RPC when it is longer than the protocol's limit, as all of variable length */
  opaque(value: Uint8Array, max = Number.POSITIVE_INFINITY): void {
    this.#length(value.length, max)
    this.fixed(value)
  }

  #length(length: number, max: number): void {
    if (length > max) throw fail('VIR_ERR_RPC', `Unable to encode message payload: length ${length} is beyond ${max}`)
    this.uint(length)
  }

  string(value: string, max = Number.POSITIVE_INFINITY): void {
    const length = Buffer.byteLength(value)
    const pad = padding(length)
    this.#length(length, max)
    const at = this.#room(length + pad)
    this.#bytes.write(value, at)
    if (pad > 0) this.#bytes.set(ZEROS.subarray(0, pad), at + length)
  }

  /** Overwrites an unsigned integer written before. */
  patchUint(at: number, value: number): void {
    this.#bytes.writeUInt32BE(value, at)
  }
}
