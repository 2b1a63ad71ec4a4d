// QEMU's stdout and stderr: a FIFO of its own, read here into the guest's log, which stays within its bounds.
//
//   QEMU ── 1, 2 ──► DIR/qemu.out (FIFO) ──► this shim ──► DIR/log/qemu.log, qemu.log.1
//
// QEMU has the FIFO open for reading too and never waits: without a shim, or with one that does not keep up, the words
// that find no room are lost, not the guest. The next shim reads what the FIFO has kept.
import { closeSync, constants, openSync, readSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { dirname } from 'node:path'
import { runHostCommand, succeeds } from '../../../host/command.ts'
import { appendToLog, quoted } from '../../../host/log-file.ts'
import type { GuestRoot } from '../../../state/root.ts'
import { makePrivateDirectory } from '../../../state/store.ts'

/** Kept of this run's words for error messages, in bytes. */
const TAIL_BYTES = 4096
const CHUNK_BYTES = 64 * 1024
/** Bytes that a QEMU that ended may have left in the FIFO. */
const LEFT_BYTES = 1024 * 1024

const { O_NONBLOCK, O_RDONLY, O_RDWR, O_NOFOLLOW } = constants

/** The output of one run's QEMU. */
export class QemuOutput {
  readonly #root: GuestRoot
  #tail = Buffer.alloc(0)
  #reader: Socket | undefined
  /** ours and QEMU's, until QEMU is there */
  #descriptor: number | undefined

  private constructor(root: GuestRoot) {
    this.#root = root
  }

  /** Makes the FIFO for a QEMU that is about to start. @throws VIR_ERR_INTERNAL_ERROR, VIR_ERR_SYSTEM_ERROR */
  static async make(root: GuestRoot): Promise<QemuOutput> {
    makePrivateDirectory(root.dir)
    makePrivateDirectory(dirname(root.log))
    rmSync(root.output, { force: true })
    // there is a log of every run, if QEMU says nothing in it
    appendToLog(root.log, new Uint8Array())
    const fifo = ['-m', '600', root.output]
    // a second try says what is wrong
    if (!(await succeeds('mkfifo', fifo))) await runHostCommand('mkfifo', fifo)
    const output = new QemuOutput(root)
    output.#descriptor = openSync(root.output, O_RDWR | O_NONBLOCK | O_NOFOLLOW)
    return output
  }

  /** Goes on reading for a QEMU that runs; one that was started by an older version writes the log itself. */
  static attach(root: GuestRoot): QemuOutput {
    const output = new QemuOutput(root)
    try {
      output.#read(openSync(root.output, O_RDWR | O_NONBLOCK | O_NOFOLLOW))
    } catch {
      // no FIFO
    }
    return output
  }

  /** Descriptor for QEMU's stdout and stderr. */
  get descriptor(): number {
    return this.#descriptor!
  }

  /** QEMU has been spawned: reads on, and has neither side wait, as spawning made the descriptor blocking. */
  begin(): void {
    this.#read(this.#descriptor!)
    this.#descriptor = undefined
  }

  #read(descriptor: number): void {
    this.#reader = new Socket({ fd: descriptor, readable: true, writable: false })
    this.#reader.on('data', chunk => this.#take(chunk))
    this.#reader.on('error', () => this.#reader?.destroy())
    this.#reader.unref()
  }

  #take(chunk: Buffer): void {
    this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-TAIL_BYTES)
    appendToLog(this.#root.log, chunk)
  }

  /** The last of what QEMU said in this run. */
  get words(): string {
    return quoted(this.#tail.toString('utf8'))
  }

  /** Takes what is still in the FIFO of a QEMU that has ended. */
  drain(): void {
    let descriptor: number | undefined
    try {
      descriptor = openSync(this.#root.output, O_RDONLY | O_NONBLOCK | O_NOFOLLOW)
      const chunk = Buffer.alloc(CHUNK_BYTES)
      for (let left = LEFT_BYTES; left > 0; ) {
        const length = readSync(descriptor, chunk)
        if (length === 0) break
        this.#take(Buffer.from(chunk.subarray(0, length)))
        left -= length
      }
    } catch {
      // nothing more there: EAGAIN, or no FIFO at all
    } finally {
      if (descriptor !== undefined) closeSync(descriptor)
    }
  }

  /** Ends it; the FIFO goes with the run. */
  close(): void {
    this.#reader?.destroy()
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}
