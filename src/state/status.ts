// status.json: the live state of a guest, enough to take it over again after this process was killed.
import { readFileSync } from 'node:fs'
import { errorsFrom } from '../conf/error.ts'
import { formatJson, parseJson } from '../conf/json.ts'
import { readIfThere, removeSynced, writeAtomic } from './store.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const STATUS_VERSION = 1

/** How far the guest's life has come. `starting` is saved before QEMU is spawned, `running` before its CPUs start. */
export type Phase = 'starting' | 'running' | 'stopping'

/** A process that cannot be mistaken for another: pids are reused, start times within one boot are not. */
export interface ProcessIdentity {
  pid: number
  /** field 22 of /proc/PID/stat, clock ticks since boot */
  startTime: string
}

/** Who else knows of a running guest, and by what name. */
export interface Registration {
  kind: 'machined' | 'systemd'
  machine: string
}

/** The form of status.json; schemas/status.json says the same. */
export interface Status {
  version: number
  bootId: string
  phase: Phase
  name: string
  uuid: string
  id: number
  persistent: boolean
  process?: ProcessIdentity
  /** virDomainState and its reason */
  state: number
  reason: number
  stateTimeMs: number
  generation: number
  /** the guest was to stay paused after start */
  paused: boolean
  /** a shutdown under way is to end in a reboot */
  fakeReboot?: boolean
  autoDestroy: boolean
  cgroups: string[]
  registration?: Registration
  /** claims at the host's aggregator that the definition speaks for */
  claims?: readonly string[]
  /** <cpu> it was started with, where QEMU made another */
  originalCpu?: string
  /** what makes it a guest that others cannot answer for, by libvirt's names of it */
  taints?: string[]
  /** what it uses that its QEMU means to drop */
  deprecations?: string[]
  /** who QEMU runs as; absent: who its shim ran as */
  user?: string
  group?: string
  /** the live definition, aliases and addresses included */
  xml: string
}

/** This boot of the host: files of another boot speak of processes that are gone. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
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

/** Reads status.json; undefined if there is none. @throws VIR_ERR_INTERNAL_ERROR for a file of another form */
export async function readStatus(file: string): Promise<Status | undefined> {
  const text = readIfThere(file)
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = parseJson(text)
  } catch (error) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `'${file}' is not JSON: ${(error as Error).message}`, error)
  }
  const { checkStatus } = await import('./status-schema.ts')
  return checkStatus(value, file)
}

export function writeStatus(file: string, status: Status): void {
  writeAtomic(file, `${formatJson(status, 2)}\n`)
}

export function removeStatus(file: string): void {
  removeSynced(file)
}
