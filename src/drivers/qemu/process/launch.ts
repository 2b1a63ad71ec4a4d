// Starting the QEMU process itself: its own session, output to a bounded log.
import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { errorsFrom } from '../../../conf/error.ts'
import { lastWords, turnLog } from '../../../host/log-file.ts'
import type { GuestRoot } from '../../../state/root.ts'
import { type ProcessIdentity, processIdentity } from '../../../state/status.ts'
import { makePrivateDirectory } from '../../../state/store.ts'
import { type Privileges, withLeastPrivilege } from './privilege.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Variables of ours that QEMU gets too (virCommandAddEnvPassCommon). */
const PASSED = ['LD_PRELOAD', 'LD_LIBRARY_PATH', 'PATH', 'HOME', 'USER', 'LOGNAME', 'TMPDIR']

function passedEnvironment(): Record<string, string> {
  return Object.fromEntries(PASSED.flatMap(name => (process.env[name] ? [[name, process.env[name]]] : [])))
}

export interface LaunchOptions extends Privileges {
  argv: string[]
  env: Record<string, string>
  /** our descriptors of files QEMU inherits, as 3, 4, … */
  files: readonly number[]
}

export interface Launched {
  identity: ProcessIdentity
  /** settles when QEMU is gone, with its exit code or the signal's name */
  exited: Promise<string>
}

/**
 * Spawns QEMU, with least privilege, a session of its own, stdio and the files it is meant to inherit.
 * @throws VIR_ERR_INTERNAL_ERROR with the reason when it cannot be executed
 */
export async function launchQemu(root: GuestRoot, options: LaunchOptions): Promise<Launched> {
  makePrivateDirectory(dirname(root.log))
  turnLog(root.log)
  const log = openSync(root.log, 'a', 0o600)
  const [command, ...args] = withLeastPrivilege(options.argv, options)
  try {
    const child = spawn(command!, args, {
      stdio: ['ignore', log, log, ...options.files],
      detached: true,
      cwd: '/',
      env: { LC_ALL: 'C', PATH: '/usr/bin:/bin', ...passedEnvironment(), ...options.env }
    })
    const exited = new Promise<string>(resolve =>
      child.once('exit', (code, signal) => resolve(signal ?? `status ${code}`))
    )
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', error =>
        reject(fail('VIR_ERR_INTERNAL_ERROR', `cannot execute binary ${options.argv[0]}: ${error.message}`, error))
      )
    })
    const identity = processIdentity(child.pid!)
    if (!identity) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `QEMU ended at once with ${await exited}: ${lastWords(root.log)}`)
    }
    child.unref()
    return { identity, exited }
  } finally {
    closeSync(log)
  }
}

/**
 * A QEMU of this root that a killed shim left without having saved its pid: known by the monitor socket in its
 * arguments. Walks /proc, so it is only for that case.
 */
export function findQemu(root: GuestRoot): ProcessIdentity | undefined {
  const marks = [root.monitorSocket, root.qemuMonitorSocket].map(path => `path=${path},`)
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue
    try {
      const cmdline = readFileSync(`/proc/${entry}/cmdline`, 'utf8')
      if (marks.some(mark => cmdline.includes(mark))) {
        const found = processIdentity(Number(entry))
        if (found) return found
      }
    } catch {}
  }
  return undefined
}
