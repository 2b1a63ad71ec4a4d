// Hook scripts of the host's administrator: libvirt's protocol of `hooks/DRIVER` and `hooks/DRIVER.d/*` (virhook.c).
import { type ChildProcess, spawn } from 'node:child_process'
import { constants as access, accessSync, readdirSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorsFrom, type VirError } from '../conf/error.ts'
import { commonEnvironment } from './command.ts'

const fail = errorsFrom('VIR_FROM_HOOK')

/** Files that scripts make are as open as those of the host's other services; ours are not. */
const UMASK = '022'
/** Time for the rest of an ended script's output: it may have left a child that has the pipe. */
const LAST_WORDS_MS = 500
/** Text of a script for an error. */
const STDERR_MAX = 4096
/** XML that a script gives in place of its input. */
const STDOUT_MAX = 4 * 1024 * 1024

export interface HookCall {
  /** object, operation, sub-operation, extra */
  args: [object: string, operation: string, subOperation: string, extra: string]
  /** standard input of each script */
  input: string
  /** what a script writes is the input of the next */
  filter: boolean
  /** a script is killed then, with all it has started */
  timeoutMs: number
  signal: AbortSignal
}

/** The scripts of a driver in the order they are run: its own, then those of its directory by name. */
export function hookScripts(directory: string, driver: string): string[] {
  const own = `${directory}/${driver}`
  return [own, ...entriesOf(`${own}.d`).map(name => `${own}.d/${name}`)].filter(isExecutable)
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory).sort()
  } catch {
    return []
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, access.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/**
 * Runs all scripts, the ones after a failure too (virHookCall).
 * @returns what a filter has made of its input; the input where it wrote nothing
 * @throws VIR_ERR_HOOK_SCRIPT_FAILED of the last one that failed, VIR_ERR_OPERATION_ABORTED by the signal
 */
export async function runHookScripts(scripts: readonly string[], call: HookCall): Promise<string> {
  let { input } = call
  let failure: VirError | undefined
  for (const script of scripts) {
    if (call.signal.aborted) break
    try {
      const output = await runScript(script, { ...call, input })
      if (call.filter && output !== '') input = output
    } catch (error) {
      failure = error as VirError
    }
  }
  if (failure) throw failure
  return input
}

async function runScript(script: string, { args, input, timeoutMs, signal }: HookCall): Promise<string> {
  const line = [script, ...args].join(' ')
  const child = spawn('/bin/sh', ['-c', `umask ${UMASK}; exec "$0" "$@"`, script, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // a process group of its own, to be killed as a whole
    detached: true,
    cwd: '/',
    env: commonEnvironment()
  })
  const killed: { why?: VirError } = {}
  const kill = (why: VirError) => {
    killed.why = why
    killGroup(child)
  }
  const onAbort = () => kill(fail('VIR_ERR_OPERATION_ABORTED', `hook script '${line}' was ended`))
  const late = fail('VIR_ERR_HOOK_SCRIPT_FAILED', `'${line}' did not end within ${timeoutMs / 1000} s`)
  const timer = setTimeout(() => kill(late), timeoutMs)
  signal.addEventListener('abort', onAbort)
  // a script need not read it
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const output = collect(child.stdout, STDOUT_MAX)
  const words = collect(child.stderr, STDERR_MAX)
  try {
    const how = await whenEnded(child)
    const [text, said] = await Promise.all([output(), words()])
    if (killed.why) throw killed.why
    if (how === undefined) return text
    const more = said === '' ? '' : `: ${said}`
    throw fail('VIR_ERR_HOOK_SCRIPT_FAILED', `internal error: Child process (${line}) unexpected ${how}${more}`)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

/** The end of a program in libvirt's words; undefined for one that ended as it should. */
function whenEnded(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    child.once('error', error => reject(fail('VIR_ERR_HOOK_SCRIPT_FAILED', error.message, error)))
    child.once('exit', (code, signal) => {
      if (signal) resolve(`fatal signal ${constants.signals[signal]}`)
      else resolve(code === 0 ? undefined : `exit status ${code}`)
    })
  })
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // it has just ended
  }
}

/** Reads what a script writes, and lets go of what is beyond a limit; the text is there once the script has ended. */
function collect(stream: Readable, limit: number): () => Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  stream.on('data', (chunk: Buffer) => {
    if (size < limit) chunks.push(chunk.subarray(0, limit - size))
    size += chunk.length
  })
  const closed = new Promise(resolve => stream.once('close', resolve))
  return async () => {
    const limited = new AbortController()
    await Promise.race([closed, sleep(LAST_WORDS_MS, undefined, { signal: limited.signal }).catch(() => undefined)])
    limited.abort()
    stream.destroy()
    return Buffer.concat(chunks).toString().trimEnd()
  }
}
