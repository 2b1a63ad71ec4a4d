// virtiofsd: serves a directory of the host to the guest over vhost-user (qemu_virtiofs.c).
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type FilesystemDef, isVirtiofs } from '../../../../conf/devices/filesystem.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { endHelper, type Helper, startHelper } from '../../../../host/helper-process.ts'
import type { ProcessOwner } from '../../../../host/owner.ts'
import type { QemuContext } from '../../context.ts'
import { virtiofsSocket } from './filesystem.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

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
 * @param logOf where the output of each goes, by the mount's alias
 * @throws VIR_ERR_INTERNAL_ERROR
 */
export async function startVirtiofsds(
  def: DomainDef,
  context: QemuContext,
  logOf: (alias: string) => string,
  owner: ProcessOwner
): Promise<void> {
  for (const dev of ours(def)) {
    await startHelper(virtiofsdProgram(dev, context, logOf(dev.alias ?? ''), owner))
  }
}

/** Ends those that have not ended with their connection to QEMU, and takes their sockets away. */
export async function stopVirtiofsds(def: DomainDef, { paths }: QemuContext): Promise<void> {
  for (const dev of ours(def)) await endHelper(virtiofsSocket(dev, paths))
}

function virtiofsdProgram(dev: FilesystemDef, { paths }: QemuContext, log: string, owner: ProcessOwner): Helper {
  const command = dev.binary?.path ?? ''
  const directory = dev.source?.path ?? ''
  if (!isExecutable(command)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `virtiofsd binary '${command}' is not executable`)
  }
  if (!existsSync(directory)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `the virtiofs export directory '${directory}' does not exist`)
  }
  const socket = virtiofsSocket(dev, paths)
  return {
    command,
    args: virtiofsdArgs(dev, socket),
    socket,
    log,
    logMode: 'w',
    cwd: dirname(socket),
    owner,
    failure: words => fail('VIR_ERR_INTERNAL_ERROR', `Could not start 'virtiofsd': ${words ?? 'no socket'}`)
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
