// Starting swtpm for a guest with an emulated TPM.
import { existsSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TpmDef, TpmEmulator, TpmStateSource } from '../../../../conf/devices/tpm.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { endHelper, type Program, runProgram, startHelper, whenProgramEnded } from '../../../../host/helper-process.ts'
import { findProgram } from '../../../../host/swtpm.ts'
import { makePrivateDirectory } from '../../../../state/store.ts'
import type { QemuContext } from '../../context.ts'
import type { HostEnd, HostGuest } from '../family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const SETUP_TIMEOUT_MS = 60_000

interface Emulator {
  def: DomainDef
  tpm: TpmEmulator
  context: QemuContext
  state: TpmStateSource
  log: string
}

export const swtpm: HostEnd<TpmDef> = {
  /**
   * Starts the guest's TPM, made anew if it has none yet (qemuTPMEmulatorStart).
   * @throws VIR_ERR_INTERNAL_ERROR and VIR_ERR_OPERATION_FAILED with swtpm's own words, VIR_ERR_OPERATION_TIMEOUT
   */
  async take({ backend }, guest) {
    if (backend.type === 'emulator') await startSwtpm(backend, guest)
  },
  /** its state stays */
  async give({ backend }, { context }) {
    if (backend.type === 'emulator') await endHelper(context.paths.swtpmSocket)
  }
}

async function startSwtpm(tpm: TpmEmulator, { def, context, owner }: HostGuest): Promise<void> {
  const { swtpmDir, swtpmSocket } = context.paths
  const state = tpm.source ?? { type: 'dir', path: join(swtpmDir, tpm.version === '2.0' ? 'tpm2' : 'tpm1.2') }
  const emulator: Emulator = { def, tpm, context, state, log: join(swtpmDir, 'swtpm.log') }
  await makeState(emulator)
  const args = [
    'socket',
    '--ctrl',
    `type=unixio,path=${swtpmSocket},mode=0600`,
    '--tpmstate',
    state.type === 'file' ? `backend-uri=file://${state.path}` : `dir=${state.path},mode=0600`,
    '--log',
    `file=${emulator.log}${tpm.debug ? `,level=${tpm.debug}` : ''}`,
    '--terminate',
    ...versionArgs(tpm)
  ]
  const program = withKeys(emulator, 'swtpm', args, fds => [
    ['--key', `pwdfd=${fds[0]},mode=aes-256-cbc`],
    ['--migration-key', `pwdfd=${fds[1]},mode=aes-256-cbc`]
  ])
  await startHelper({
    ...program,
    socket: swtpmSocket,
    owner,
    failure: words =>
      words === undefined
        ? fail('VIR_ERR_OPERATION_TIMEOUT', 'swtpm socket did not show up')
        : fail('VIR_ERR_OPERATION_FAILED', `swtpm died and reported: ${words}`)
  })
}

const versionArgs = ({ version }: TpmEmulator) => (version === '2.0' ? ['--tpm2'] : [])

/** Gives a new TPM its keys and certificates, and every one the banks it is to have (qemuTPMEmulatorRunSetup). */
async function makeState(emulator: Emulator): Promise<void> {
  const { def, tpm, state, log } = emulator
  const { type, path } = state
  const common = [...versionArgs(tpm), '--tpm-state', type === 'file' ? `file://${path}` : path, '--logfile', log]
  if (!existsSync(path)) {
    makePrivateDirectory(type === 'file' ? dirname(path) : path)
    try {
      const certificates = ['--createek', '--create-ek-cert', '--create-platform-cert', '--lock-nvram']
      const vmid = ['--vmid', `${def.name}:${def.uuid}`]
      await setup(emulator, [...common, ...vmid, ...certificates, '--not-overwrite', ...profileArgs(tpm)])
    } catch (error) {
      rmSync(path, { recursive: true, force: true })
      throw error
    }
  }
  if (tpm.version === '2.0' && tpm.pcrBanks) {
    await setup(emulator, [...common, '--pcr-banks', tpm.pcrBanks.join(','), '--reconfigure'])
  }
}

/** What a new TPM can do (qemuTPMVirCommandAddProfile); swtpm_setup has profiles since 0.10. */
function profileArgs({ profile }: TpmEmulator): string[] {
  if (profile?.source === undefined) return []
  const { source, removeDisabled } = profile
  return ['--profile-name', source, ...(removeDisabled ? ['--profile-remove-disabled', removeDisabled] : [])]
}

async function setup(emulator: Emulator, args: string[]): Promise<void> {
  const child = runProgram(
    withKeys(emulator, 'swtpm_setup', args, ([fd]) => [['--pwdfile-fd', String(fd), '--cipher', 'aes-256-cbc']])
  )
  const late = setTimeout(() => child.kill(), SETUP_TIMEOUT_MS)
  const status = await whenProgramEnded(child)
  clearTimeout(late)
  if (status === '0') return
  throw fail(
    'VIR_ERR_INTERNAL_ERROR',
    `Could not run 'swtpm_setup'. exitstatus: ${status}; Check error log '${emulator.log}' for details.`
  )
}

/** stdin, stdout and stderr */
const FIRST_FD = 3

/** A program of swtpm's; `keys` says how it is told the descriptors it reads the passphrase from. */
function withKeys(
  { tpm, context, log }: Emulator,
  name: string,
  args: string[],
  keys: (fds: number[]) => string[][]
): Program {
  const secret = tpm.secret && context.secrets.value('vtpm', { uuid: tpm.secret })
  const keyArgs = secret ? keys([FIRST_FD, FIRST_FD + 1]) : []
  const inputs = secret ? keyArgs.map(() => secret) : []
  return { command: findProgram(name) ?? name, args: [...args, ...keyArgs.flat()], log, inputs }
}
