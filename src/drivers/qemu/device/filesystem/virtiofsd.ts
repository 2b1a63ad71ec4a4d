// virtiofsd: serves a directory of the host to the guest over vhost-user (qemu_virtiofs.c).
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type FilesystemDef, isVirtiofs } from '../../../../conf/devices/filesystem.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { endHelper, type Helper, startHelper } from '../../../../host/helper-process.ts'
import { helperLog } from '../../../../state/root.ts'
import type { GuestPaths } from '../../context.ts'
import type { HostEnd, HostGuest } from '../family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Descriptors of vhost-user programs (QEMU's docs/interop/vhost-user.json); a name in the first hides one in the next. */
const DESCRIPTOR_DIRS = ['/etc/qemu/vhost-user', '/usr/share/qemu/vhost-user']

/** The socket between QEMU and virtiofsd (qemuDomainGetVHostUserFSSocketPath). */
export function virtiofsSocket({ source, alias }: FilesystemDef, paths: GuestPaths): string {
  return source?.socket ?? join(paths.libDir, `${alias}-fs.sock`)
}

/** True for a mount that is ours to serve. */
const isOurs = (dev: FilesystemDef) => isVirtiofs(dev) && dev.source?.socket === undefined

/**
 * Chooses the program for a mount whose user has not (qemuVhostUserFillDomainFS).
 * @throws VIR_ERR_OPERATION_FAILED on a host without one
 */
export function prepareFilesystem(dev: FilesystemDef): void {
  if (!isOurs(dev) || dev.binary?.path !== undefined) return
  const path = hostVirtiofsd()
  if (path === undefined) throw fail('VIR_ERR_OPERATION_FAILED', 'Unable to find a satisfying virtiofsd')
  dev.binary = { path, ...dev.binary }
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

export const virtiofsd: HostEnd<FilesystemDef> = {
  /** @throws VIR_ERR_INTERNAL_ERROR; libvirt: qemuVirtioFSStart */
  async take(dev, guest) {
    if (isOurs(dev)) await startHelper(virtiofsdProgram(dev, guest))
  },
  /** it may have ended with its connection to QEMU */
  async give(dev, { context }) {
    if (isOurs(dev)) await endHelper(virtiofsSocket(dev, context.paths))
  }
}

function virtiofsdProgram(dev: FilesystemDef, { context, root, owner }: HostGuest): Helper {
  const command = dev.binary?.path ?? ''
  const directory = dev.source?.path ?? ''
  if (!isExecutable(command)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `virtiofsd binary '${command}' is not executable`)
  }
  if (!existsSync(directory)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `the virtiofs export directory '${directory}' does not exist`)
  }
  const socket = virtiofsSocket(dev, context.paths)
  return {
    command,
    args: virtiofsdArgs(dev, socket),
    socket,
    log: helperLog(root, `${dev.alias}-virtiofsd`),
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
