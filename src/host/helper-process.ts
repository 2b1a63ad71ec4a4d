// Programs that serve QEMU over a socket: its TPM, shared directories, reservations, its D-Bus. Each is known by a file
// beside its socket, so that a shim that comes after a killed one ends what that had started.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { VirError } from '../conf/error.ts'
import { bootId, isAlive, type ProcessIdentity, processIdentity } from '../state/status.ts'
import { makePrivateDirectory } from '../state/store.ts'
import { endOfLog, lastWords } from './log-file.ts'
import { giveTo, type ProcessOwner } from './owner.ts'

const SOCKET_TIMEOUT_MS = 5000
const END_TIMEOUT_MS = 2000
const POLL_MS = 3
/** stdin, stdout and stderr */
const FIRST_FD = 3

export interface Program {
  command: string
  args: string[]
  /** file for its output */
  log: string
  /** `w` where only this run is of interest */
  logMode?: 'a' | 'w'
  cwd?: string
  /** contents of the files it has as descriptors 3, 4, … */
  inputs?: (string | Uint8Array)[]
}

export interface Helper extends Program {
  /** made by the program when it is ready */
  socket: string
  /** file the program writes to when it is ready, where it makes its socket before that */
  readyFile?: string
  /** the user QEMU runs as, who connects to it */
  owner: ProcessOwner
  /** the error for a program that ended, with its last words, or that made no socket in time */
  failure(words: string | undefined): VirError
}

/** The file with the process that serves a socket. */
const pidFileOf = (socket: string) => socket.replace(/(\.sock)?$/, '.pid')

/** Starts a program in a session of its own. */
export function runProgram({ command, args, log, logMode = 'a', cwd = '/', inputs = [] }: Program): ChildProcess {
  makePrivateDirectory(dirname(log))
  const output = openSync(log, logMode, 0o600)
  try {
    const stdio = ['ignore' as const, output, output, ...inputs.map(() => 'pipe' as const)]
    const child = spawn(command, args, { stdio, detached: true, cwd })
    child.stdio.slice(FIRST_FD).forEach((pipe, i) => {
      // a program that ends early does not read it
      pipe?.on('error', () => undefined)
      ;(pipe as Writable).end(inputs[i])
    })
    return child
  } finally {
    closeSync(output)
  }
}

/** The exit status, signal, or reason a program could not be started. */
export function whenProgramEnded(child: ChildProcess): Promise<string> {
  return new Promise(done => {
    child.once('exit', (code, signal) => done(signal ?? String(code)))
    child.once('error', error => done(error.message))
  })
}

/** Starts a helper and waits until QEMU can connect to it; one left by an earlier run is ended first. */
export async function startHelper(helper: Helper): Promise<void> {
  const { socket, readyFile, log, owner, failure } = helper
  await endHelper(socket)
  if (readyFile !== undefined) rmSync(readyFile, { force: true })
  const since = helper.logMode === 'w' ? 0 : endOfLog(log)
  const child = runProgram(helper)
  let gone: string | undefined
  void whenProgramEnded(child).then(how => {
    gone = how
  })
  const identity = child.pid === undefined ? undefined : processIdentity(child.pid)
  if (identity) writeFileSync(pidFileOf(socket), JSON.stringify({ ...identity, bootId: bootId() }), { mode: 0o600 })
  const isReady = () => existsSync(socket) && listens(helper) && (readyFile === undefined || hasText(readyFile))
  for (const deadline = Date.now() + SOCKET_TIMEOUT_MS; !isReady(); await sleep(POLL_MS)) {
    if (gone !== undefined) throw failure(lastWords(log, since) || gone)
    if (Date.now() >= deadline) throw failure(undefined)
  }
  giveTo(socket, owner)
  child.unref()
}

/** __SO_ACCEPTCON of the kernel's net.h: somebody listens at that socket. */
const ACCEPTS = 0x10000

/**
 * True once connections to the socket are taken, which is a moment after it is there. It is not tried: virtiofsd ends with
 * its first connection. Where the kernel does not tell, the socket's file has to do.
 */
function listens({ socket, cwd = '/' }: Helper): boolean {
  let table: string
  try {
    table = readFileSync('/proc/net/unix', 'latin1')
  } catch {
    return true
  }
  const name = Buffer.from(socket).toString('latin1')
  return table.split('\n').some(line => {
    const [, flags, path] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +\d+ (.+)$/.exec(line) ?? []
    return path !== undefined && (Number.parseInt(flags!, 16) & ACCEPTS) !== 0 && resolve(cwd, path) === name
  })
}

const hasText = (file: string): boolean => (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0

/** True while a helper serves this socket. */
export function isServed(socket: string): boolean {
  const identity = readIdentity(pidFileOf(socket))
  return identity !== undefined && isAlive(identity)
}

/** Ends the helper that serves this socket, if there is one, and takes its files away. */
export async function endHelper(socket: string): Promise<void> {
  const identity = readIdentity(pidFileOf(socket))
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!identity || !isAlive(identity)) break
    signalTo(identity, signal)
    for (const deadline = Date.now() + END_TIMEOUT_MS; isAlive(identity) && Date.now() < deadline; )
      await sleep(POLL_MS)
  }
  for (const left of [pidFileOf(socket), socket]) rmSync(left, { force: true })
}

function signalTo({ pid }: ProcessIdentity, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // it has just ended
  }
}

/** The process a file names, if it is of this boot: start times of another may be anybody's now. */
function readIdentity(file: string): ProcessIdentity | undefined {
  try {
    const { bootId: of = bootId(), pid, startTime } = JSON.parse(readFileSync(file, 'utf8'))
    // programs put files of their own there: virtiofsd one with its pid alone, beside its socket
    return of === bootId() && pid !== undefined ? { pid, startTime } : undefined
  } catch {
    return undefined
  }
}

/** The helpers that run beside the QEMU with sockets in that directory. */
export function helpersIn(directory: string): ProcessIdentity[] {
  return readdirSync(directory)
    .filter(name => name.endsWith('.pid'))
    .flatMap(name => readIdentity(join(directory, name)) ?? [])
    .filter(isAlive)
}
