// The shim's log: JSON lines on stderr by pino, which is loaded after QEMU was started; what is said before is kept.
import type { Log } from '../drivers/qemu/domain/domain.ts'

type Level = keyof Log

/** A log that can be written to at once and is connected to pino by `open`. */
export class LateLog implements Log {
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
    const destination = pino.destination({ fd: 2, sync: true })
    // a full disk or a reader that has gone costs lines, not the guest's daemon
    destination.on('error', () => undefined)
    const sink: Log = pino({ level, base: bindings, redact: ['*.passwd', '*.password'] }, destination)
    this.#sink = sink
    for (const [at, values, message] of this.#early.splice(0)) sink[at](values, message)
  }
}
