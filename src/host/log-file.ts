// Logs of QEMU and its helpers: bounded, turned over, quoted.
import { appendFileSync, closeSync, ftruncateSync, openSync, readFileSync, renameSync, statSync } from 'node:fs'

/** Size at which qemu.log is turned over. */
export const LOG_MAX_BYTES = 1024 * 1024

/** Renames a log that has grown too big to `.1`, so that QEMU's next run begins a new one. */
export function turnLog(path: string): void {
  try {
    if (statSync(path).size > LOG_MAX_BYTES) renameSync(path, `${path}.1`)
  } catch {}
}

/** Cuts a log that a talkative QEMU has let grow; QEMU appends, so it goes on at the start. */
export function boundLog(path: string): void {
  try {
    if (statSync(path).size <= LOG_MAX_BYTES) return
    const fd = openSync(path, 'r+')
    ftruncateSync(fd, 0)
    closeSync(fd)
  } catch {}
}

/** Adds a line to QEMU's output, with the time as libvirt writes it there. */
export function appendLog(path: string, line: string): void {
  const time = new Date().toISOString().replace('T', ' ').replace('Z', '+0000')
  appendFileSync(path, `${time}: ${line}\n`)
}

/** The end of QEMU's own output, for error messages. */
export function lastWords(path: string): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-3).join('; ').slice(-1000)
  } catch {
    return ''
  }
}
