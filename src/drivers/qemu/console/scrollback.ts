// The last of a console's output, for viewers who come late: one buffer, whatever pieces it came in.

/** Bytes kept for a viewer who comes late. */
export const SCROLLBACK_BYTES = 64 * 1024
const FIRST_BYTES = 1024

/** A ring of the last SCROLLBACK_BYTES, which grows to that as it is used. */
export class Scrollback {
  #ring = Buffer.alloc(0)
  /** bytes ever added; the next goes to this place of a full ring */
  #end = 0

  add(chunk: Buffer): void {
    const tail = chunk.length > SCROLLBACK_BYTES ? chunk.subarray(-SCROLLBACK_BYTES) : chunk
    this.#grow(Math.min(this.#end + tail.length, SCROLLBACK_BYTES))
    const at = this.#end % SCROLLBACK_BYTES
    const first = Math.min(tail.length, SCROLLBACK_BYTES - at)
    tail.copy(this.#ring, at, 0, first)
    tail.copy(this.#ring, 0, first)
    this.#end += tail.length
  }

  /** The kept bytes, oldest first. */
  get bytes(): Buffer {
    if (this.#end <= SCROLLBACK_BYTES) return Buffer.from(this.#ring.subarray(0, this.#end))
    const at = this.#end % SCROLLBACK_BYTES
    return Buffer.concat([this.#ring.subarray(at), this.#ring.subarray(0, at)])
  }

  #grow(wanted: number): void {
    if (wanted <= this.#ring.length) return
    let size = Math.max(FIRST_BYTES, this.#ring.length)
    while (size < wanted) size *= 2
    const ring = Buffer.alloc(size)
    this.#ring.copy(ring)
    this.#ring = ring
  }
}
