// Starting swtpm for a guest with an emulated TPM. It ends by itself when QEMU closes the connection.
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TpmEmulator } from '../../conf/devices/tpm.ts'
import type { DomainDef } from '../../conf/domain-def.ts'
import { errorsFrom } from '../../conf/error.ts'
import type { QemuContext } from './context.ts'
import { lastWords } from './launch.ts'
import { findProgram } from './swtpm.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const SETUP_TIMEOUT_MS = 60_000
const SOCKET_TIMEOUT_MS = 5000
const POLL_MS = 5
/** stdin, stdout and stderr */
const FIRST_FD = 3

interface Emulator {
  def: DomainDef
  tpm: TpmEmulator
  context: QemuContext
  stateDir: string
  log: string
}

/**
 * Starts the guest's TPM, made anew if it has none yet (qemuTPMEmulatorStart).
 * @returns ends it; for a start that fails before QEMU is connected to it
 * @throws VIR_ERR_INTERNAL_ERROR and VIR_ERR_OPERATION_FAILED with swtpm's own words
 */
export async function startSwtpm(def: DomainDef, context: QemuContext): Promise<() => void> {
  const tpm = def.devices.tpms.map(({ backend }) => backend).find(backend => backend.type === 'emulator')
  if (!tpm) return () => undefined
  const { swtpmDir, swtpmSocket } = context.paths
  const stateDir = join(swtpmDir, tpm.version === '2.0' ? 'tpm2' : 'tpm1.2')
  const emulator: Emulator = { def, tpm, context, stateDir, log: join(swtpmDir, 'swtpm.log') }
  await makeState(emulator)
  rmSync(swtpmSocket, { force: true })
  const child = run(
    emulator,
    'swtpm',
    [
      'socket',
      '--ctrl',
      `type=unixio,path=${swtpmSocket},mode=0600`,
      '--tpmstate',
      `dir=${stateDir},mode=0600`,
      '--log',
      `file=${emulator.log}`,
      '--terminate',
      ...versionArgs(tpm)
    ],
    fds => [
      ['--key', `pwdfd=${fds[0]},mode=aes-256-cbc`],
      ['--migration-key', `pwdfd=${fds[1]},mode=aes-256-cbc`]
    ]
  )
  await socketOf(child, emulator)
  child.unref()
  return () => child.kill()
}

const versionArgs = ({ version }: TpmEmulator) => (version === '2.0' ? ['--tpm2'] : [])

/** Gives a new TPM its keys and certificates, and every one the banks it is to have (qemuTPMEmulatorRunSetup). */
async function makeState(emulator: Emulator): Promise<void> {
  const { def, tpm, stateDir, log } = emulator
  const common = [...versionArgs(tpm), '--tpm-state', stateDir, '--logfile', log]
  if (!existsSync(stateDir)) {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    try {
      const certificates = ['--createek', '--create-ek-cert', '--create-platform-cert', '--lock-nvram']
      await setup(emulator, [...common, '--vmid', `${def.name}:${def.uuid}`, ...certificates, '--not-overwrite'])
    } catch (error) {
      rmSync(stateDir, { recursive: true, force: true })
      throw error
    }
  }
  if (tpm.version === '2.0' && tpm.pcrBanks) {
    await setup(emulator, [...common, '--pcr-banks', tpm.pcrBanks.join(','), '--reconfigure'])
  }
}

async function setup(emulator: Emulator, args: string[]): Promise<void> {
  const child = run(emulator, 'swtpm_setup', args, ([fd]) => [['--pwdfile-fd', String(fd), '--cipher', 'aes-256-cbc']])
  const late = setTimeout(() => child.kill(), SETUP_TIMEOUT_MS)
  const status = await ended(child)
  clearTimeout(late)
  if (status === '0') return
  throw fail(
    'VIR_ERR_INTERNAL_ERROR',
    `Could not run 'swtpm_setup'. exitstatus: ${status}; Check error log '${emulator.log}' for details.`
  )
}

/** Runs a program of swtpm's; `keys` says how it is told the descriptors it reads the passphrase from. */
function run(
  { tpm, context, log }: Emulator,
  name: string,
  args: string[],
  keys: (fds: number[]) => string[][]
): ChildProcess {
  const secret = tpm.secret && context.secrets.value('vtpm', { uuid: tpm.secret })
  const keyArgs = secret ? keys([FIRST_FD, FIRST_FD + 1]) : []
  const output = openSync(log, 'a', 0o600)
  try {
    const stdio: StdioOptions = ['ignore', output, output, ...keyArgs.map(() => 'pipe' as const)]
    const child = spawn(findProgram(name) ?? name, [...args, ...keyArgs.flat()], { stdio, detached: true, cwd: '/' })
    for (const pipe of child.stdio.slice(FIRST_FD)) {
      // a program that ends early does not read it
      pipe?.on('error', () => undefined)
      ;(pipe as Writable).end(secret)
    }
    return child
  } finally {
    closeSync(output)
  }
}

/** The exit status, signal, or reason a program could not be started. */
function ended(child: ChildProcess): Promise<string> {
  return new Promise(done => {
    child.once('exit', (code, signal) => done(signal ?? String(code)))
    child.once('error', error => done(error.message))
  })
}

async function socketOf(child: ChildProcess, { context, log }: Emulator): Promise<void> {
  let gone: string | undefined
  void ended(child).then(how => {
    gone = how
  })
  for (const deadline = Date.now() + SOCKET_TIMEOUT_MS; ; await sleep(POLL_MS)) {
    if (existsSync(context.paths.swtpmSocket)) return
    if (gone !== undefined) throw fail('VIR_ERR_OPERATION_FAILED', `swtpm died and reported: ${lastWords(log) || gone}`)
    if (Date.now() < deadline) continue
    child.kill()
    throw fail('VIR_ERR_OPERATION_TIMEOUT', 'swtpm socket did not show up')
  }
}
