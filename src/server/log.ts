// The shim's log: JSON lines on stderr by pino, which is loaded after QEMU was started; what is said before is kept. A
// line that cannot be written, or only with waiting, is lost: a full disk or a reader that has stopped or gone costs
// lines, not the guest's daemon.
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { dirname } from 'node:path'
import type { Log } from '../drivers/qemu/domain/domain.ts'
import { makePrivateDirectory } from '../state/store.ts'

type Level = keyof Log

const STDERR = 2
const { O_APPEND, O_CREAT, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants

/** A log that can be written to at once and is connected to pino by `open`. */
export class LateLog implements Log {
  readonly #lines = new StandardError()
  #sink: Log | undefined
  #early: [Level, object, string][] = []

  debug = (values: object, message: string) => this.#write('debug', values, message)
  info = (values: object, message: string) => this.#write('info', values, message)
  warn = (values: object, message: string) => this.#write('warn', values, message)
  error = (values: object, message: string) => this.#write('error', values, message)

  #write(level: Level, values: object, message: string): void {
    if (this.#sink) this.#sink[level](values, message)
    else this.#early.push([level, values, message])
  }

  /** Loads pino and writes what was kept. */
  async open(level: string, bindings: object): Promise<void> {
    if (this.#sink) return
    const { default: pino } = await import('pino')
    const sink: Log = pino({ level, base: bindings, redact: ['*.passwd', '*.password'] }, this.#lines)
    this.#lines.whenWritable = lost => sink.warn({ lost }, 'lines of this log were lost')
    this.#sink = sink
    for (const [at, values, message] of this.#early.splice(0)) sink[at](values, message)
  }

  /** Goes on in a file, and lets go of the stderr that there was. @throws VIR_ERR_SYSTEM_ERROR */
  moveTo(file: string): void {
    this.#lines.moveTo(file)
  }
}

/** Lines on stderr, none of which is waited for. */
class StandardError {
  #descriptor: number | undefined
  /** makes a descriptor that is a socket one that does not wait */
  #socket: Socket | undefined
  #lost = 0
  /** the last line that was written ends in its middle */
  #isCut = false
  /** told how many lines were lost, before the first one that is not */
  whenWritable: (lost: number) => void = () => {}

  write(line: string): void {
    const lost = this.#lost
    if (lost > 0) {
      this.#lost = 0
      this.whenWritable(lost)
      if (this.#lost > 0) this.#lost += lost
    }
    if (this.#lost > 0 || !this.#put(this.#isCut ? `\n${line}` : line)) this.#lost++
  }

  /** @returns true for a line that is there as a whole */
  #put(line: string): boolean {
    const bytes = Buffer.from(line)
    try {
      this.#descriptor ??= this.#open()
      const written = writeSync(this.#descriptor, bytes)
      this.#isCut = written < bytes.length
      return !this.#isCut
    } catch {
      return false
    }
  }

  moveTo(file: string): void {
    makePrivateDirectory(dirname(file))
    if (this.#descriptor !== undefined && this.#descriptor !== STDERR) closeSync(this.#descriptor)
    this.#socket?.destroy()
    closeSync(STDERR)
    // the lowest free descriptor is taken: stderr's
    this.#descriptor = openSync(file, O_APPEND | O_CREAT | O_NOFOLLOW | O_WRONLY, 0o600)
  }

  /**
   * Stderr as one that does not wait for its reader. A pipe or terminal is opened anew, as ours is shared with programs
   * that reckon with waiting; a socket cannot be.
   */
  #open(): number {
    const found = fstatSync(STDERR)
    try {
      if (found.isSocket()) this.#socket = new Socket({ fd: STDERR, readable: false }).unref()
      else if (!found.isFile()) return openSync(`/proc/self/fd/${STDERR}`, O_WRONLY | O_NOCTTY | O_NONBLOCK)
    } catch {
      // somebody else's
    }
    return STDERR
  }
}
