// The directory of one guest: its files, and the lock that makes this process its only owner.
import { spawn } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync
} from 'node:fs'
import { connect } from 'node:net'
import { homedir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
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
  /** begin of the names of the logs of programs that serve the guest */
  helperLogs: string
  /** there while the guest is to be started with the host */
  autostart: string
  /** there while it is to be started with the host's next boot alone */
  autostartOnce: string
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
    helperLogs: at('log/qemu-'),
    autostart: at('autostart'),
    autostartOnce: at('autostart-once'),
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
export const helperLog = ({ helperLogs }: GuestRoot, program: string): string => `${helperLogs}${program}.log`

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

/** Default directories of hook scripts: with this user's configuration, and for root libvirt's. */
export function hookDirectories(): string[] {
  const own = join(userDirectories().config, 'hooks')
  return process.getuid?.() === 0 ? [own, '/etc/libvirt/hooks'] : [own]
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
    autostartOnce: join(config, 'guests/autostart', `${name}.xml.once`),
    nvramDir: join(data, 'guests', name),
    managedSave: kept('managed.save'),
    snapshotDir: kept('snapshots'),
    checkpointDir: kept('checkpoints'),
    dumpDir: kept('dump'),
    log: join(log, `${name}.log`),
    // not beside those of QEMU, where another guest may be called so
    shimLog: join(log, 'daemons', name, 'virshimd.log'),
    helperLogs: join(log, 'daemons', name, '/')
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

/**
 * Removes the directories of a guest that is no more, as far as they are empty: logs and what was kept stay. So does a
 * root of the user's own choice; those in a directory of guests are named after them.
 */
export function removeEmptyDirectories({ dir, managedSave }: GuestRoot): void {
  const ofGuests = basename(dirname(dir)) === 'guests'
  for (const top of ofGuests ? new Set([dir, dirname(managedSave)]) : directoriesIn(dir)) removeEmpty(top)
}

function removeEmpty(dir: string): void {
  for (const below of directoriesIn(dir)) removeEmpty(below)
  try {
    rmdirSync(dir)
  } catch {
    // something is in it
  }
}

function directoriesIn(dir: string): string[] {
  try {
    const entries = readdirSync(dir, { withFileTypes: true })
    return entries.filter(entry => entry.isDirectory()).map(({ name }) => join(dir, name))
  } catch {
    return []
  }
}

/** A Unix socket's path may have this many bytes, `.new` of a socket not yet ready included; longer roots cannot work. */
export const SOCKET_PATH_MAX = 103

/** Write permission of group and others. */
const OTHERS_WRITE = 0o022
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY

/** A root that is this process's alone. */
export interface RootLock {
  close(): void
}

/**
 * Makes the root and locks it for this process; the lock goes with the process, however it ends.
 * It is flock(2) on the directory itself, which nobody who cannot read the directory can take; util-linux's flock does
 * it to a descriptor of ours, as Node has no such call. The guest's own socket is asked too: shims of older versions
 * lock otherwise.
 * @param program the one that locks it, for the error
 * @param waitMs time to wait for another process that is about to end
 * @throws VIR_ERR_OPERATION_INVALID when another process has the root, VIR_ERR_OPERATION_DENIED for one others may write
 */
export async function lockRoot(root: GuestRoot, program = 'virshimd', waitMs = 0): Promise<RootLock> {
  if (Buffer.byteLength(root.libvirtReadOnlySocket) > SOCKET_PATH_MAX) {
    throw fail('VIR_ERR_INVALID_ARG', `root directory '${root.dir}' is too long for socket paths`)
  }
  const owned = () => fail('VIR_ERR_OPERATION_INVALID', `root directory '${root.dir}' is in use by another ${program}`)
  for (const deadline = Date.now() + waitMs; ; await sleep(20)) {
    makePrivateDirectory(root.dir)
    checkOurs(root.dir)
    const fd = openSync(root.dir, DIRECTORY)
    const isLocked = await flock(fd)
    // the owner before may have removed the directory
    if (isLocked && isSame(fd, root.dir)) return await withoutStaleSockets(root, lockOf(fd), owned)
    closeSync(fd)
    if (!isLocked && Date.now() >= deadline) throw owned()
  }
}

/**
 * Sees to it that nobody else can put files and links into a directory of ours: it is written by us alone from now on.
 * @throws VIR_ERR_OPERATION_DENIED
 */
function checkOurs(dir: string): void {
  const refuse = (why: string) => fail('VIR_ERR_OPERATION_DENIED', `root directory '${dir}' ${why}`)
  if (lstatSync(dir).uid !== process.getuid?.()) throw refuse('belongs to another user')
  const found = statSync(dir)
  if (!found.isDirectory()) throw refuse('is not a directory')
  if (found.uid !== process.getuid?.()) throw refuse(`belongs to another user, with uid ${found.uid}`)
  if ((found.mode & OTHERS_WRITE) === 0) return
  chmodSync(dir, found.mode & 0o7777 & ~OTHERS_WRITE)
  const foreign = readdirSync(dir).find(name => lstatSync(join(dir, name)).uid !== found.uid)
  if (foreign !== undefined) throw refuse(`could be written by other users, and '${foreign}' is not ours`)
}

function lockOf(fd: number): RootLock {
  let held = true
  return {
    close() {
      if (held) closeSync(fd)
      held = false
    }
  }
}

function isSame(fd: number, path: string): boolean {
  const [held, now] = [fstatSync(fd), statSync(path, { throwIfNoEntry: false })]
  return held.dev === now?.dev && held.ino === now.ino
}

/** Locks what the descriptor is open on, if nobody else has. @throws VIR_ERR_SYSTEM_ERROR without flock */
function flock(fd: number): Promise<boolean> {
  const child = spawn('flock', ['-x', '-n', '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] })
  return new Promise((done, refuse) => {
    child.once('error', error => refuse(fail('VIR_ERR_SYSTEM_ERROR', `cannot run flock: ${error.message}`, error)))
    child.once('exit', code => done(code === 0))
  })
}

async function withoutStaleSockets(root: GuestRoot, lock: RootLock, owned: () => Error): Promise<RootLock> {
  if (await answers(root.apiSocket)) {
    lock.close()
    throw owned()
  }
  for (const stale of serverSockets(root)) for (const end of ['', '.new', '.old']) rmSync(stale + end, { force: true })
  return lock
}

/** True if somebody accepts connections there. */
async function answers(path: string): Promise<boolean> {
  // most starts find nothing there, and need not wait for an answer
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return false
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
