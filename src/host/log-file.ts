// Logs of QEMU and its helpers: bounded, turned over, quoted. Nothing here throws for a log that cannot be written.
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  truncateSync,
  writeSync
} from 'node:fs'

/** A log is turned over when it has grown this big. */
export const LOG_MAX_BYTES = 1024 * 1024

/** Quoted from the end of a log, whatever its size. */
const QUOTED_BYTES = 4096
const QUOTED_LINES = 3
const QUOTED_CHARACTERS = 1000

/** QEMU's note on each pty, which is no complaint. */
const PTY_NOTE = /(^|: )char device redirected to \S+ \(label [^)]*\)$/

const APPEND = constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW

/** Cuts a log that a helper has let grow; it appends, so it goes on at the start. */
export function boundLog(path: string): void {
  try {
    if (statSync(path).size > LOG_MAX_BYTES) truncateSync(path)
  } catch {}
}

/** Appends to a log; what would make it too large turns it over first. @returns false if it cannot be written */
export function appendToLog(path: string, chunk: Uint8Array): boolean {
  try {
    const fd = openSync(path, APPEND, 0o600)
    try {
      if (fstatSync(fd).size + chunk.length > LOG_MAX_BYTES) renameSync(path, `${path}.1`)
      else return writeSync(fd, chunk) === chunk.length
    } finally {
      closeSync(fd)
    }
    const fresh = openSync(path, APPEND, 0o600)
    try {
      return writeSync(fresh, chunk) === chunk.length
    } finally {
      closeSync(fresh)
    }
  } catch {
    return false
  }
}

/** This moment as libvirt writes it (virTimeStringNow). */
export const timeNow = () => new Date().toISOString().replace('T', ' ').replace('Z', '+0000')

/** Adds a line to QEMU's output, with the time as libvirt writes it there. */
export function appendLog(path: string, line: string, time = timeNow()): void {
  appendToLog(path, Buffer.from(`${time}: ${line}\n`))
}

/** Size of a log by now, in bytes: the words of the program that is started next begin there. */
export function endOfLog(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

/** The last of what was written to a log, for error messages. @param since bytes that speak of earlier runs */
export function lastWords(path: string, since = 0): string {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const { size } = fstatSync(fd)
      const begin = Math.max(size < since ? 0 : since, size - QUOTED_BYTES)
      const bytes = Buffer.alloc(Math.max(0, size - begin))
      return quoted(bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, begin)))
    } finally {
      closeSync(fd)
    }
  } catch {
    return ''
  }
}

/** The last lines of some output, on one, without notes that are no complaints. */
export function quoted(text: string): string {
  const lines = text.split('\n').filter(line => line.trim() !== '' && !PTY_NOTE.test(line))
  return lines.slice(-QUOTED_LINES).join('; ').slice(-QUOTED_CHARACTERS)
}
