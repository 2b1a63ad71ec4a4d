// The directory of one guest: its files, and the lock that makes this process its only owner.
import { rmSync, statSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorsFrom } from '../conf/error.ts'
import { makePrivateDirectory } from './store.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Every file of one guest. */
export interface GuestRoot {
  dir: string
  apiSocket: string
  apiReadOnlySocket: string
  libvirtSocket: string
  libvirtReadOnlySocket: string
  monitorSocket: string
  /** directory a QEMU of another user makes its sockets in; the monitor's own name then leads there */
  qemuDir: string
  qemuMonitorSocket: string
  status: string
  definition: string
  /** FIFO of QEMU's output, on its way to the log */
  output: string
  /** QEMU's own output */
  log: string
  /** the shim's, when it runs detached */
  shimLog: string
  /** there while the guest is to be started with the host */
  autostart: string
  channelDir: string
  nvramDir: string
  /** memory of a guest that crashed, where its definition asks for it */
  dumpDir: string
  swtpmDir: string
  swtpmSocket: string
  /** the saved image the next start is to go on from, if there is one */
  managedSave: string
  /** one file for each snapshot and checkpoint */
  snapshotDir: string
  checkpointDir: string
}

/** The files of a guest that has one root for all. */
export function guestRoot(dir: string): GuestRoot {
  const at = (name: string) => join(dir, name)
  return {
    dir,
    apiSocket: at('api.sock'),
    apiReadOnlySocket: at('api-ro.sock'),
    libvirtSocket: at('libvirt-sock'),
    libvirtReadOnlySocket: at('libvirt-sock-ro'),
    monitorSocket: at('qmp.sock'),
    qemuDir: at('qemu'),
    qemuMonitorSocket: at('qemu/qmp.sock'),
    status: at('status.json'),
    definition: at('domain.xml'),
    output: at('qemu.out'),
    log: at('log/qemu.log'),
    shimLog: at('log/virshimd.log'),
    autostart: at('autostart'),
    channelDir: at('channel'),
    nvramDir: at('nvram'),
    dumpDir: at('dump'),
    swtpmDir: at('tpm'),
    swtpmSocket: at('swtpm.sock'),
    managedSave: at('managed.save'),
    snapshotDir: at('snapshots'),
    checkpointDir: at('checkpoints')
  }
}

/** The output of a program that serves a guest, beside QEMU's own. */
export const helperLog = ({ log }: GuestRoot, program: string): string => `${log.replace(/\.log$/, '')}-${program}.log`

/** The sockets this process listens at. */
export const serverSockets = (root: GuestRoot): string[] => [
  root.apiSocket,
  root.apiReadOnlySocket,
  root.libvirtSocket,
  root.libvirtReadOnlySocket
]

/** Directories for a user's guests: run-time files, definitions, data that outlives a reboot, logs, the cache. */
export interface UserDirectories {
  run: string
  config: string
  data: string
  log: string
  cache: string
}

/** The directories of this user: the system's for root, else those of the XDG base directory specification. */
export function userDirectories(): UserDirectories {
  if (process.getuid?.() === 0) {
    return {
      run: '/run/virshim',
      config: '/etc/virshim',
      data: '/var/lib/virshim',
      log: '/var/log/virshim',
      cache: '/var/cache/virshim'
    }
  }
  const { XDG_RUNTIME_DIR, XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_STATE_HOME, XDG_CACHE_HOME } = process.env
  const of = (given: string | undefined, ...fallback: string[]) =>
    join(given || join(homedir(), ...fallback), 'virshim')
  return {
    run: of(XDG_RUNTIME_DIR, '.cache'),
    config: of(XDG_CONFIG_HOME, '.config'),
    data: of(XDG_DATA_HOME, '.local', 'share'),
    log: join(of(XDG_STATE_HOME, '.local', 'state'), 'log'),
    cache: of(XDG_CACHE_HOME, '.cache')
  }
}

/** The directory with the roots of a user's guests, by default. */
export const guestsDirectory = (): string => join(userDirectories().run, 'guests')

/** The files of a guest without a root of its own: what must outlive a reboot does not lie with its sockets. */
function spreadRoot(name: string): GuestRoot {
  const { run, config, data, log } = userDirectories()
  const kept = (file: string) => join(data, 'guests', name, file)
  return {
    ...guestRoot(join(run, 'guests', name)),
    definition: join(config, 'guests', `${name}.xml`),
    autostart: join(config, 'guests/autostart', `${name}.xml`),
    nvramDir: join(data, 'guests', name),
    managedSave: kept('managed.save'),
    snapshotDir: kept('snapshots'),
    checkpointDir: kept('checkpoints'),
    dumpDir: kept('dump'),
    log: join(log, `${name}.log`),
    shimLog: join(log, `${name}.virshimd.log`)
  }
}

/** The root of a guest: the one given, or the user's default by the guest's name. @throws VIR_ERR_INVALID_ARG */
export function chooseRoot(given: string | undefined, name: string): GuestRoot {
  if (given !== undefined) return guestRoot(resolve(given))
  if (name === '.' || name === '..' || name.includes('/')) {
    throw fail('VIR_ERR_INVALID_ARG', `a guest called '${name}' needs a root directory of its own: --root DIR`)
  }
  return spreadRoot(name)
}

/** The capability cache: one for all shims of a user. */
export const cacheDirectory = (): string => userDirectories().cache

/** A Unix socket's path may have this many bytes, `.new` of a socket not yet ready included; longer roots cannot work. */
export const SOCKET_PATH_MAX = 103

/**
 * Makes the root and locks it for this process; the lock goes with the process, however it ends.
 * The lock is a listening socket in the abstract namespace, named after the directory's device and inode. Abstract
 * names are per network namespace, so the guest's own socket is asked too.
 * @param program the one that locks it, for the error
 * @param waitMs time to wait for another process that is about to end
 * @throws VIR_ERR_OPERATION_INVALID when another process owns the root
 */
export async function lockRoot(root: GuestRoot, program = 'virshimd', waitMs = 0): Promise<Server> {
  if (Buffer.byteLength(root.libvirtReadOnlySocket) > SOCKET_PATH_MAX) {
    throw fail('VIR_ERR_INVALID_ARG', `root directory '${root.dir}' is too long for socket paths`)
  }
  const owned = (cause?: unknown) =>
    fail('VIR_ERR_OPERATION_INVALID', `root directory '${root.dir}' is in use by another ${program}`, cause)
  for (const deadline = Date.now() + waitMs; ; await sleep(20)) {
    makePrivateDirectory(root.dir)
    const name = lockName(root.dir)
    try {
      const lock = await listenAt(name!)
      // the owner before may have removed the directory
      if (lockName(root.dir) === name) return await withoutStaleSockets(root, lock, owned)
      lock.close()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      if (Date.now() >= deadline) throw owned(error)
    }
  }
}

function lockName(dir: string): string | undefined {
  const found = statSync(dir, { bigint: true, throwIfNoEntry: false })
  return found && `\0virshim/${found.dev}/${found.ino}`
}

function listenAt(path: string): Promise<Server> {
  const server = createServer(socket => socket.destroy())
  return new Promise((done, refuse) => {
    server.once('error', refuse)
    server.listen(path, () => {
      server.removeListener('error', refuse)
      done(server)
    })
  })
}

async function withoutStaleSockets(root: GuestRoot, lock: Server, owned: () => Error): Promise<Server> {
  lock.unref()
  if (await answers(root.apiSocket)) {
    lock.close()
    throw owned()
  }
  for (const stale of serverSockets(root)) for (const end of ['', '.new', '.old']) rmSync(stale + end, { force: true })
  return lock
}

/** True if somebody accepts connections there. */
function answers(path: string): Promise<boolean> {
  return new Promise(done => {
    const socket = connect(path)
    const finish = (result: boolean) => {
      socket.destroy()
      done(result)
    }
    socket.once('connect', () => finish(true))
    socket.once('error', () => finish(false))
  })
}
