// Starting the QEMU process itself: its own session, least privilege, output to a bounded log, cgroups.
import { spawn } from 'node:child_process'
import {
  accessSync,
  chownSync,
  closeSync,
  constants,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync
} from 'node:fs'
import { dirname } from 'node:path'
import { errorsFrom } from '../../conf/error.ts'
import type { GuestRoot } from '../../state/root.ts'
import { type ProcessIdentity, processIdentity } from '../../state/status.ts'
import { makePrivateDirectory } from '../../state/store.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const SETPRIV = '/usr/bin/setpriv'
/** qemu.log is turned over when it has grown this big. */
export const LOG_MAX_BYTES = 1024 * 1024

/** Variables of ours that QEMU gets too (virCommandAddEnvPassCommon). */
const PASSED = ['LD_PRELOAD', 'LD_LIBRARY_PATH', 'PATH', 'HOME', 'USER', 'LOGNAME', 'TMPDIR']

function passedEnvironment(): Record<string, string> {
  return Object.fromEntries(PASSED.flatMap(name => (process.env[name] ? [[name, process.env[name]]] : [])))
}

export interface LaunchOptions {
  argv: string[]
  env: Record<string, string>
  user?: string
  group?: string
  /** QEMU dies with this process (auto-destroy) */
  dieWithUs: boolean
  /** our descriptors of files QEMU inherits, as 3, 4, … */
  files: readonly number[]
}

export interface Launched {
  identity: ProcessIdentity
  /** settles when QEMU is gone, with its exit code or the signal's name */
  exited: Promise<string>
}

/**
 * Spawns QEMU. It gets no new privileges, a session of its own, stdio and the files it is meant to inherit.
 * @throws VIR_ERR_INTERNAL_ERROR with the reason when it cannot be executed
 */
export async function launchQemu(root: GuestRoot, options: LaunchOptions): Promise<Launched> {
  makePrivateDirectory(dirname(root.log))
  turnLog(root.log)
  const log = openSync(root.log, 'a', 0o600)
  const [command, ...args] = withLeastPrivilege(options)
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
    child.unref()
    const identity = processIdentity(child.pid!)
    if (!identity) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `QEMU ended at once with ${await exited}: ${lastWords(root.log)}`)
    }
    return { identity, exited }
  } finally {
    closeSync(log)
  }
}

function withLeastPrivilege({ argv, user, group, dieWithUs }: LaunchOptions): string[] {
  try {
    accessSync(SETPRIV, constants.X_OK)
  } catch {
    if (user || dieWithUs) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `running QEMU as another user needs ${SETPRIV}`)
    return argv
  }
  const drop = user ? [`--reuid=${user}`, `--regid=${group ?? user}`, '--init-groups', '--inh-caps=-all'] : []
  return [SETPRIV, '--no-new-privs', ...(dieWithUs ? ['--pdeathsig', 'KILL'] : []), ...drop, '--', ...argv]
}

function turnLog(path: string): void {
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

/** The end of QEMU's own output, for error messages. */
export function lastWords(path: string): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-3).join('; ').slice(-1000)
  } catch {
    return ''
  }
}

/** Lets QEMU's user into the directories it makes sockets in. */
export function giveTo(paths: string[], uid: number, gid: number): void {
  for (const path of paths) chownSync(path, uid, gid)
}

/**
 * A QEMU of this root that a killed shim left without having saved its pid: known by the monitor socket in its
 * arguments. Walks /proc, so it is only for that case.
 */
export function findQemu(root: GuestRoot): ProcessIdentity | undefined {
  const mark = `path=${root.monitorSocket},`
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue
    try {
      if (readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes(mark)) {
        const found = processIdentity(Number(entry))
        if (found) return found
      }
    } catch {}
  }
  return undefined
}
