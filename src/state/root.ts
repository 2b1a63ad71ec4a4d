// The directory of one guest: its files, and the lock that makes this process its only owner.
import { rmSync, statSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
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
  status: string
  definition: string
  /** QEMU's own output */
  log: string
  /** the shim's, when it runs detached */
  shimLog: string
  channelDir: string
  nvramDir: string
  swtpmDir: string
  swtpmSocket: string
}

/** The files below a root. */
export function guestRoot(dir: string): GuestRoot {
  const at = (name: string) => join(dir, name)
  return {
    dir,
    apiSocket: at('api.sock'),
    apiReadOnlySocket: at('api-ro.sock'),
    libvirtSocket: at('libvirt-sock'),
    libvirtReadOnlySocket: at('libvirt-sock-ro'),
    monitorSocket: at('qmp.sock'),
    status: at('status.json'),
    definition: at('domain.xml'),
    log: at('log/qemu.log'),
    shimLog: at('log/virshimd.log'),
    channelDir: at('channel'),
    nvramDir: at('nvram'),
    swtpmDir: at('tpm'),
    swtpmSocket: at('swtpm.sock')
  }
}

/** The sockets this process listens at. */
export const serverSockets = (root: GuestRoot): string[] => [
  root.apiSocket,
  root.apiReadOnlySocket,
  root.libvirtSocket,
  root.libvirtReadOnlySocket
]

/** Where a user's guests live by default. */
export function guestsDirectory(): string {
  if (process.getuid?.() === 0) return '/run/virshim/guests'
  return join(process.env.XDG_RUNTIME_DIR || join(homedir(), '.cache'), 'virshim/guests')
}

/** The root of a guest: the one given, or NAME below the user's default directory. */
export function chooseRoot(given: string | undefined, name: string): GuestRoot {
  return guestRoot(given === undefined ? join(guestsDirectory(), name) : resolve(given))
}

/** The capability cache: one for all shims of a user. */
export function cacheDirectory(): string {
  if (process.getuid?.() === 0) return '/var/cache/virshim'
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'virshim')
}

/** A Unix socket's path may have this many bytes, `.new` of a socket not yet ready included; longer roots cannot work. */
const SOCKET_PATH_MAX = 103

/**
 * Makes the root and locks it for this process; the lock goes with the process, however it ends.
 * The lock is a listening socket in the abstract namespace, named after the directory's device and inode. Abstract
 * names are per network namespace, so the guest's own socket is asked too.
 * @throws VIR_ERR_OPERATION_INVALID when another shim owns the root
 */
export async function lockRoot(root: GuestRoot): Promise<Server> {
  if (Buffer.byteLength(root.libvirtReadOnlySocket) > SOCKET_PATH_MAX) {
    throw fail('VIR_ERR_INVALID_ARG', `root directory '${root.dir}' is too long for socket paths`)
  }
  makePrivateDirectory(root.dir)
  const { dev, ino } = statSync(root.dir, { bigint: true })
  const owned = (cause?: unknown) =>
    fail('VIR_ERR_OPERATION_INVALID', `root directory '${root.dir}' is in use by another virshimd`, cause)
  const lock = createServer(socket => socket.destroy())
  await new Promise<void>((done, refuse) => {
    lock.once('error', error => refuse((error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? owned(error) : error))
    lock.listen(`\0virshim/${dev}/${ino}`, done)
  })
  lock.unref()
  if (await answers(root.apiSocket)) {
    lock.close()
    throw owned()
  }
  for (const stale of serverSockets(root)) rmSync(stale, { force: true })
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
