// Programs of the host's own that a guest's start and end need: run by name and arguments, never through a shell.
import { execFile, spawn, spawnSync } from 'node:child_process'
import { constants } from 'node:os'
import { errnoText } from '../conf/errno.ts'
import { errorsFrom } from '../conf/error.ts'

const fail = errorsFrom('VIR_FROM_NONE')

/** Exit status of a child that could not become the program it was made for. */
const NOT_RUN = 127

/** Directories with administration tools, which are not in everyone's PATH. */
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

/** Bounds of a program's run: it is killed at the first it crosses. */
export interface CommandLimits {
  timeoutMs: number
  outputBytes: number
}

const LIMITS: CommandLimits = { timeoutMs: 10_000, outputBytes: 1024 ** 2 }

/** A program that is not there, ended with a failure or was killed at a limit. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed'
  /** it did not end in time */
  readonly late: boolean
  /** its exit status, or the signal that ended it, in libvirt's words (virProcessTranslateStatus) */
  readonly how: string

  constructor(said: string, late: boolean, cause: unknown) {
    super(said, { cause })
    this.late = late
    const { code, signal } = cause as { code?: unknown; signal?: NodeJS.Signals }
    this.how = signal
      ? `fatal signal ${constants.signals[signal]}`
      : `exit status ${typeof code === 'number' ? code : NOT_RUN}`
  }
}

/**
 * Runs a program to its end and gives its output.
 * @param env variables it gets besides LC_ALL and PATH
 * @throws CommandFailed with what it said
 */
export function hostCommand(
  program: string,
  args: readonly string[],
  { timeoutMs, outputBytes }: CommandLimits = LIMITS,
  env: NodeJS.ProcessEnv = {}
): Promise<string> {
  const environment = { ...env, LC_ALL: 'C', PATH }
  const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: outputBytes, env: environment } as const
  return new Promise((resolve, reject) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout)
      reject(new CommandFailed(stderr.trim() || error.message, error.killed === true, error))
    })
  })
}

/**
 * Runs a short program to its end, while this process waits, and gives its output.
 * @throws VIR_ERR_INTERNAL_ERROR for one that is not there or ends with a failure (virCommandRun)
 */
export function programOutput(program: string, args: readonly string[]): string {
  const { error, status, signal, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    timeout: LIMITS.timeoutMs,
    maxBuffer: LIMITS.outputBytes,
    stdio: ['ignore', 'pipe', 'pipe']
  })
  if (!error && status === 0) return stdout
  const [how, said] = error
    ? [`exit status ${NOT_RUN}`, `libvirt:  error : cannot execute binary ${program}: ${errnoText(error)}\n`]
    : [signal ? `fatal signal ${constants.signals[signal]}` : `exit status ${status}`, stderr]
  const line = [program, ...args].join(' ')
  throw fail('VIR_ERR_INTERNAL_ERROR', `Child process (${line}) unexpected ${how}${said && `: ${said}`}`, error)
}

/** Variables of ours that programs get which are not told another environment (virCommandAddEnvPassCommon). */
export const PASSED = ['LD_PRELOAD', 'LD_LIBRARY_PATH', 'PATH', 'HOME', 'USER', 'LOGNAME', 'TMPDIR']

/** Runs a program that has nothing to say, without what listening would cost a start. @returns true if it succeeded */
export function succeeds(program: string, args: readonly string[]): Promise<boolean> {
  const child = spawn(program, args, { stdio: 'ignore', env: { LC_ALL: 'C', PATH } })
  return new Promise(done => {
    child.once('error', () => done(false))
    child.once('exit', code => done(code === 0))
  })
}

/** The environment libvirt gives to programs of others: QEMU, hook scripts. */
export function commonEnvironment(): Record<string, string> {
  const passed = PASSED.flatMap(name => (process.env[name] ? [[name, process.env[name]]] : []))
  return { LC_ALL: 'C', PATH: '/usr/bin:/bin', ...Object.fromEntries(passed) }
}

/**
 * Runs a program to its end and gives its output.
 * @param failure makes the error of what it says of its failure
 * @throws by default VIR_ERR_INTERNAL_ERROR with its arguments and what it says
 */
export async function runHostCommand(
  program: string,
  args: readonly string[],
  failure = (said: string, _how: string) =>
    fail('VIR_ERR_INTERNAL_ERROR', `'${[program, ...args].join(' ')}' failed: ${said}`)
): Promise<string> {
  try {
    return await hostCommand(program, args)
  } catch (error) {
    const { message, how } = error as CommandFailed
    throw failure(message, how)
  }
}
