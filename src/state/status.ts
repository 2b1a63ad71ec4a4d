// The status file of a running guest and the processes it speaks of. Its members are the table in
// drivers/qemu/domain/status.ts.
import { readFileSync } from 'node:fs'
import { errorsFrom } from '../conf/error.ts'
import { formatJson, parseJson } from '../conf/json.ts'
import { readIfThere, removeSynced, writeAtomic } from './store.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const STATUS_VERSION = 1

/** Phases of a run. `starting` is saved before QEMU is spawned, `running` before its CPUs start. */
export const PHASES = ['starting', 'running', 'stopping'] as const
export type Phase = (typeof PHASES)[number]

/** A process that cannot be mistaken for another: pids are reused, start times within one boot are not. */
export interface ProcessIdentity {
  pid: number
  /** field 22 of /proc/PID/stat, clock ticks since boot */
  startTime: string
}

/** Registration of a running guest with a service of the host, and its name there. */
export interface Registration {
  kind: 'machined' | 'systemd'
  machine: string
}

let thisBoot: string | undefined

/** This boot of the host: files of another boot speak of processes that are gone. */
export function bootId(): string {
  thisBoot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return thisBoot
}

/** Identity of a running process, undefined if there is none (a zombie is none). */
export function processIdentity(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : { pid, startTime: fields[19]! }
  } catch {
    return undefined
  }
}

/** True if exactly that process still runs. */
export function isAlive(process: ProcessIdentity): boolean {
  return processIdentity(process.pid)?.startTime === process.startTime
}

/** Reads a status file as JSON; undefined if there is none. @throws VIR_ERR_INTERNAL_ERROR for what is no JSON */
export function readStatusFile(file: string): unknown {
  const text = readIfThere(file)
  if (text === undefined) return undefined
  try {
    return parseJson(text)
  } catch (error) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `'${file}' is not JSON: ${(error as Error).message}`, error)
  }
}

/** A status file's text. */
export const statusText = (status: object): string => `${formatJson(status, 2)}\n`

/**
 * Writes a status file, synced.
 * @param former the text that stands there: the same is not written again
 * @returns its text
 * @throws VIR_ERR_SYSTEM_ERROR
 */
export function writeStatus(file: string, status: object, former?: string): string {
  const text = statusText(status)
  if (text !== former) writeAtomic(file, text, { ofThisBoot: true })
  return text
}

/** Removes a status file for good; absent is fine. */
export function removeStatus(file: string): void {
  removeSynced(file)
}
