// Programs between QEMU and a file, each of which reads what the one before it writes. Node.js makes no pipes whose ends
// can be handed on: a FIFO that has lost its name is one.
//
//   into a file       QEMU ──► gzip -c ──► dd oflag=direct ──► file
//   out of a file     file ──► dd iflag=direct ──► gzip -dc ──► QEMU
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { errorsFrom } from '../conf/error.ts'
import { randomUUID } from '../conf/random.ts'
import { commonEnvironment, runHostCommand } from './command.ts'

const fail = errorsFrom('VIR_FROM_NONE')

const WORDS_MAX = 4096

/** A program that makes of its standard input its standard output. */
export interface Filter {
  program: string
  args: readonly string[]
}

/** Filters that run. */
export interface Filtered {
  /** the descriptor at QEMU's end, ours to close once QEMU has it; that of the file where there are no filters */
  fd: number
  /** settles when all have ended. @throws VIR_ERR_INTERNAL_ERROR for the first that failed (virCommandWait) */
  finished: Promise<void>
  /** ends them: what they were to write is not wanted */
  stop(): void
}

/** A pipe; both ends are ours to close. @param directory ours alone, for the moment it takes */
async function makePipe(directory: string): Promise<{ read: number; write: number }> {
  const path = join(directory, `.pipe-${randomUUID()}`)
  await runHostCommand('mkfifo', ['-m', '600', path])
  try {
    const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      return { read, write: openSync(path, constants.O_WRONLY) }
    } catch (error) {
      closeSync(read)
      throw error
    }
  } finally {
    rmSync(path, { force: true })
  }
}

interface Ends {
  /** of the file, which stays the caller's */
  file: number
  /** for the pipes' names */
  directory: string
}

/** Filters what QEMU writes on its way into a file. */
export const filterInto = (filters: readonly Filter[], ends: Ends): Promise<Filtered> => run(filters, ends, 'into')

/** Filters what QEMU reads on its way out of a file. */
export const filterOutOf = (filters: readonly Filter[], ends: Ends): Promise<Filtered> => run(filters, ends, 'out of')

async function run(filters: readonly Filter[], ends: Ends, way: 'into' | 'out of'): Promise<Filtered> {
  const { file, directory } = ends
  if (filters.length === 0) return { fd: file, finished: Promise.resolve(), stop: () => undefined }
  const children: ChildProcess[] = []
  const stop = () => {
    for (const child of children) child.kill('SIGKILL')
  }
  let open: number[] = []
  let fd = -1
  const done: Promise<void>[] = []
  try {
    // from the file on towards QEMU, either way
    let next = file
    for (const filter of way === 'into' ? [...filters].reverse() : filters) {
      const { read, write } = await makePipe(directory)
      open.push(read, write)
      const [ours, theirs] = way === 'into' ? [write, read] : [read, write]
      const [input, output] = way === 'into' ? [theirs, next] : [next, theirs]
      const { child, ended } = start(filter, input, output)
      children.push(child)
      done.push(ended)
      for (const passed of [theirs, next]) if (passed !== file) close(passed)
      next = ours
    }
    fd = next
    open = []
  } catch (error) {
    stop()
    for (const one of open) closeSync(one)
    throw error
  }
  const finished = Promise.all(done).then(() => undefined)
  finished.catch(() => undefined)
  return { fd, finished, stop }

  function close(descriptor: number): void {
    closeSync(descriptor)
    open = open.filter(one => one !== descriptor)
  }
}

function start(
  { program, args }: Filter,
  input: number,
  output: number
): { child: ChildProcess; ended: Promise<void> } {
  const child = spawn(program, args, { stdio: [input, output, 'pipe'], env: commonEnvironment(), cwd: '/' })
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    said = (said + chunk).slice(0, WORDS_MAX)
  })
  const ended = new Promise<void>((done, refuse) => {
    const failed = (how: string) => {
      const line = [program, ...args].join(' ')
      refuse(fail('VIR_ERR_INTERNAL_ERROR', `Child process (${line}) unexpected ${how}${said && `: ${said}`}`))
    }
    child.once('error', error => failed(`failure: ${error.message}`))
    child.once('close', (code, signal) => (code === 0 ? done() : failed(signal ?? `exit status ${code}`)))
  })
  ended.catch(() => undefined)
  return { child, ended }
}
