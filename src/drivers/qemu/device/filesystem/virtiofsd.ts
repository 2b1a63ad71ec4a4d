// virtiofsd: serves a directory of the host to the guest over vhost-user (qemu_virtiofs.c).
import { accessSync, constants, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type FilesystemDef, isVirtiofs } from '../../../../conf/devices/filesystem.ts'
import type { IdMapEntry } from '../../../../conf/domain/idmap.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { programOutput } from '../../../../host/command.ts'
import { endHelper, type Helper, startHelper } from '../../../../host/helper-process.ts'
import { subordinateIdmap } from '../../../../host/ids.ts'
import { helperLog } from '../../../../state/root.ts'
import type { GuestPaths, QemuContext } from '../../context.ts'
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
 * Chooses the program for a mount whose user has not, and what a user's own virtiofsd makes of the files' owners
 * (qemuVirtioFSPrepareDomain).
 * @throws VIR_ERR_OPERATION_FAILED on a host without one, VIR_ERR_INTERNAL_ERROR for one that cannot tell its abilities
 */
export function prepareFilesystem(dev: FilesystemDef, _def: DomainDef, { privileged }: QemuContext): void {
  if (!isOurs(dev)) return
  if (dev.binary?.path !== undefined) virtiofsdFeatures(dev.binary.path)
  else {
    const path = hostVirtiofsd()
    if (path === undefined) throw fail('VIR_ERR_OPERATION_FAILED', 'Unable to find a satisfying virtiofsd')
    dev.binary = { path, ...dev.binary }
  }
  if (!privileged && !dev.idmap?.uids) dev.idmap = subordinateIdmap(process.geteuid!(), process.getegid!())
}

/**
 * Abilities of a virtiofsd; older ones name none (qemuVhostUserFillFSCapabilities).
 * @throws VIR_ERR_INTERNAL_ERROR
 */
function virtiofsdFeatures(path: string): string[] {
  const output = programOutput(path, ['--print-capabilities'])
  try {
    const { features = [] } = JSON.parse(output) as { features?: string[] }
    return features
  } catch (error) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `unable to parse json capabilities '${path}'`, error)
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
    const { type, binary } = descriptor(text, path)
    if (type === 'fs' && typeof binary === 'string' && tellsFeatures(binary)) return binary
  }
  return undefined
}

function descriptor(text: string, path: string): { type?: unknown; binary?: unknown } {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `failed to parse vhost-user descriptor '${path}'`, error)
  }
}

function tellsFeatures(path: string): boolean {
  try {
    virtiofsdFeatures(path)
    return true
  } catch {
    return false
  }
}

export const virtiofsd: HostEnd<FilesystemDef> = {
  check(dev, guest) {
    if (isOurs(dev)) virtiofsdProgram(dev, guest)
  },
  /** @throws VIR_ERR_INTERNAL_ERROR; libvirt: qemuVirtioFSStart */
  async take(dev, guest) {
    if (isOurs(dev)) await startHelper(virtiofsdProgram(dev, guest))
  },
  /** it may have ended with its connection to QEMU */
  async give(dev, { context }) {
    if (!isOurs(dev)) return
    const socket = virtiofsSocket(dev, context.paths)
    await endHelper(socket)
    // a file of its own, which the one in Rust leaves
    rmSync(`${socket}.pid`, { force: true })
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
    args: virtiofsdArgs(dev, socket, virtiofsdFeatures(command).includes('separate-options')),
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

/**
 * qemuVirtioFSBuildCommandLine, but the socket by its name.
 * @param separate the program has options of its own for what those of old take behind -o
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for locks, of which there are no such options
 */
export function virtiofsdArgs(dev: FilesystemDef, socket: string, separate: boolean): string[] {
  const { binary, idmap, readonly } = dev
  const map = (option: string, entries: IdMapEntry[] = []) =>
    entries.map(({ start, target, count }) => `--${option}=:${start}:${target}:${count}:`)
  return [
    `--socket-path=${socket}`,
    ...(separate ? separateOptions(dev) : ['-o', options(dev)]),
    ...(binary?.threadPoolSize === undefined ? [] : [`--thread-pool-size=${binary.threadPoolSize}`]),
    ...(binary?.openFiles === undefined ? [] : [`--rlimit-nofile=${binary.openFiles}`]),
    ...map('uid-map', idmap?.uids),
    ...map('gid-map', idmap?.gids),
    ...(readonly ? ['--readonly'] : [])
  ]
}

function options({ source, binary }: FilesystemDef): string {
  const { cache, sandbox, xattr, lock } = binary ?? {}
  return [
    `source=${source?.path?.replace(/,/g, ',,')}`,
    cache && `cache=${cache}`,
    sandbox && `sandbox=${sandbox}`,
    yesNo('xattr', xattr),
    yesNo('flock', lock?.flock),
    yesNo('posix_lock', lock?.posix)
  ]
    .filter(option => option !== undefined)
    .join(',')
}

function separateOptions({ source, binary }: FilesystemDef): string[] {
  const { cache, sandbox, xattr, lock } = binary ?? {}
  if (lock) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'locking options are not supported by this virtiofsd')
  }
  return [
    ...['--shared-dir', source?.path ?? ''],
    ...(cache ? ['--cache', cache === 'none' ? 'never' : cache] : []),
    ...(sandbox ? ['--sandbox', sandbox] : []),
    ...(xattr ? ['--xattr'] : [])
  ]
}

const yesNo = (name: string, value: boolean | undefined) =>
  value === undefined ? undefined : value ? name : `no_${name}`
