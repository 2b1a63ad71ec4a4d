// virtiofsd: serves a directory of the host to the guest over vhost-user (qemu_virtiofs.c). It ends by itself when QEMU
// closes the connection.
import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, closeSync, constants, existsSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type FilesystemDef, isVirtiofs } from '../../conf/devices/filesystem.ts'
import type { DomainDef } from '../../conf/domain-def.ts'
import { errorsFrom } from '../../conf/error.ts'
import { makePrivateDirectory } from '../../state/store.ts'
import { virtiofsSocket } from './command/filesystem.ts'
import type { QemuContext } from './context.ts'
import { lastWords } from './launch.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const SOCKET_TIMEOUT_MS = 5000
const POLL_MS = 5
/** Descriptors of vhost-user programs (QEMU's docs/interop/vhost-user.json); a name in the first hides one in the next. */
const DESCRIPTOR_DIRS = ['/etc/qemu/vhost-user', '/usr/share/qemu/vhost-user']

/** Mounts that are ours to serve. */
const ours = ({ devices }: DomainDef): FilesystemDef[] =>
  devices.filesystems.filter(dev => isVirtiofs(dev) && dev.source?.socket === undefined)

/**
 * Chooses the program for mounts whose user has not (qemuVhostUserFillDomainFS).
 * @throws VIR_ERR_OPERATION_FAILED on a host without one
 */
export function prepareFilesystems(def: DomainDef): void {
  for (const dev of ours(def)) {
    if (dev.binary?.path !== undefined) continue
    const path = hostVirtiofsd()
    if (path === undefined) throw fail('VIR_ERR_OPERATION_FAILED', 'Unable to find a satisfying virtiofsd')
    dev.binary = { path, ...dev.binary }
  }
}

function hostVirtiofsd(): string | undefined {
  const files = new Map<string, string>()
  for (const dir of [...DESCRIPTOR_DIRS].reverse()) {
    if (!existsSync(dir)) continue
    for (const name of readdirSync(dir)) if (name.endsWith('.json')) files.set(name, join(dir, name))
  }
  for (const [, path] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const text = readFileSync(path, 'utf8')
    if (text.trim() === '') continue
    try {
      const { type, binary } = JSON.parse(text) as { type?: unknown; binary?: unknown }
      if (type === 'fs' && typeof binary === 'string') return binary
    } catch (error) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `failed to parse vhost-user descriptor '${path}'`, error)
    }
  }
  return undefined
}

/**
 * Starts a virtiofsd for each mount (qemuVirtioFSStart).
 * @param logDir where their output goes, a file each
 * @returns ends them; for a start that fails before QEMU is connected to them
 * @throws VIR_ERR_INTERNAL_ERROR
 */
export async function startVirtiofsds(def: DomainDef, context: QemuContext, logDir: string): Promise<() => void> {
  const children: ChildProcess[] = []
  const stop = () => {
    for (const child of children) child.kill()
  }
  try {
    for (const dev of ours(def))
      children.push(await startVirtiofsd(dev, context, join(logDir, `${dev.alias}-virtiofsd.log`)))
  } catch (error) {
    stop()
    throw error
  }
  return stop
}

/** Takes away the sockets; the programs have ended with their connection to QEMU. */
export function removeVirtiofsSockets(def: DomainDef, { paths }: QemuContext): void {
  for (const dev of ours(def)) rmSync(virtiofsSocket(dev, paths), { force: true })
}

async function startVirtiofsd(dev: FilesystemDef, { paths }: QemuContext, log: string): Promise<ChildProcess> {
  const program = dev.binary?.path ?? ''
  const directory = dev.source?.path ?? ''
  if (!isExecutable(program)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `virtiofsd binary '${program}' is not executable`)
  }
  if (!existsSync(directory)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `the virtiofs export directory '${directory}' does not exist`)
  }
  const socket = virtiofsSocket(dev, paths)
  rmSync(socket, { force: true })
  makePrivateDirectory(dirname(log))
  const output = openSync(log, 'w', 0o600)
  try {
    const args = virtiofsdArgs(dev, socket)
    const child = spawn(program, args, { stdio: ['ignore', output, output], detached: true, cwd: dirname(socket) })
    await socketOf(child, socket, log)
    child.unref()
    return child
  } finally {
    closeSync(output)
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** qemuVirtioFSBuildCommandLine, but the socket by its name. */
export function virtiofsdArgs({ source, binary }: FilesystemDef, socket: string): string[] {
  const { cache, sandbox, xattr, lock, threadPoolSize } = binary ?? {}
  const options = [
    `source=${source?.path?.replace(/,/g, ',,')}`,
    cache && `cache=${cache}`,
    sandbox && `sandbox=${sandbox}`,
    yesNo('xattr', xattr),
    yesNo('flock', lock?.flock),
    yesNo('posix_lock', lock?.posix)
  ]
  const pool = threadPoolSize === undefined ? [] : [`--thread-pool-size=${threadPoolSize}`]
  return [`--socket-path=${socket}`, '-o', options.filter(option => option !== undefined).join(','), ...pool]
}

const yesNo = (name: string, value: boolean | undefined) =>
  value === undefined ? undefined : value ? name : `no_${name}`

/** Waits until QEMU can connect. */
async function socketOf(child: ChildProcess, socket: string, log: string): Promise<void> {
  let gone: string | undefined
  child.once('exit', (code, signal) => {
    gone = signal ?? `status ${code}`
  })
  child.once('error', error => {
    gone = error.message
  })
  for (const deadline = Date.now() + SOCKET_TIMEOUT_MS; ; await sleep(POLL_MS)) {
    if (existsSync(socket)) return
    if (gone === undefined && Date.now() < deadline) continue
    child.kill()
    throw fail('VIR_ERR_INTERNAL_ERROR', `Could not start 'virtiofsd': ${lastWords(log) || gone || 'no socket'}`)
  }
}
