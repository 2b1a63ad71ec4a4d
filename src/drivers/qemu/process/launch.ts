// Starting the QEMU process itself: its own session, its words to the guest's log.
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorsFrom } from '../../../conf/error.ts'
import { commonEnvironment } from '../../../host/command.ts'
import type { OpenedFiles } from '../../../host/inherited-files.ts'
import { withMadeFiles } from '../../../host/made-files.ts'
import { type ProcessIdentity, processIdentity } from '../../../state/status.ts'
import type { QemuOutput } from './output.ts'
import { type Privileges, withLeastPrivilege } from './privilege.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Variable with the number of QEMU's run. */
const RUN_ID = 'VIRSHIM_RUN_ID'

export interface LaunchOptions extends Privileges {
  argv: string[]
  env: Record<string, string>
  /** the files QEMU inherits, as 3, 4, … */
  files: OpenedFiles
  /** takes what it says */
  output: QemuOutput
  /** by which a QEMU whose pid was not saved is found again */
  runId: string
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
export async function launchQemu(options: LaunchOptions): Promise<Launched> {
  const { output } = options
  const [command, ...args] = withMadeFiles(withLeastPrivilege(options.argv, options), options.files.made)
  const child = spawn(command!, args, {
    stdio: ['ignore', output.descriptor, output.descriptor, ...options.files.descriptors],
    detached: true,
    cwd: '/',
    env: { ...commonEnvironment(), ...options.env, [RUN_ID]: options.runId }
  })
  output.begin()
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
    const how = await exited
    output.drain()
    throw fail('VIR_ERR_INTERNAL_ERROR', `QEMU ended at once with ${how}: ${output.words}`)
  }
  child.unref()
  return { identity, exited }
}

/** Looks at processes whose environment does not show, as that of one which is being executed. */
const LOOKS = 20
const LOOK_PAUSE_MS = 5

/**
 * A QEMU that a killed shim had spawned but not saved the pid of: known by the number of its run in its environment,
 * which only the run's status has. Walks /proc, so it is only for that case.
 */
export async function findQemu(runId: string): Promise<ProcessIdentity | undefined> {
  const mark = `${RUN_ID}=${runId}`
  for (let look = 1; ; look++) {
    let unseen = false
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue
      try {
        const environment = readFileSync(`/proc/${entry}/environ`, 'utf8')
        if (environment.split('\0').includes(mark)) return processIdentity(Number(entry))
        // threads of the kernel have no program
        unseen ||= environment === '' && readlinkSync(`/proc/${entry}/exe`) !== ''
      } catch {
        // another user's, or gone
      }
    }
    if (!unseen || look === LOOKS) return undefined
    await sleep(LOOK_PAUSE_MS)
  }
}
