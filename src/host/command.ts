// Programs of the host's own that a guest's start and end need: run by name and arguments, never through a shell.
import { execFile } from 'node:child_process'
import { errorsFrom } from '../conf/error.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const TIMEOUT_MS = 10_000
/** Directories with administration tools, which are not in everyone's PATH. */
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * Runs a program to its end and gives its output.
 * @throws VIR_ERR_INTERNAL_ERROR with its output on failure
 */
export function runHostCommand(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: TIMEOUT_MS, env: { LC_ALL: 'C', PATH } }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout)
      const said = stderr.trim() || error.message
      reject(fail('VIR_ERR_INTERNAL_ERROR', `'${[program, ...args].join(' ')}' failed: ${said}`, error))
    })
  })
}
