// A view of the host's files that is one program's own: its root is the host's, but some directories are covered there by
// empty ones, into which no more is bound than it is to see, at the same paths. util-linux's unshare, mount and nsenter
// do it, as Node has no such calls; nothing of it is in the host's own table of mounts, and it goes with the program.
import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  type Stats,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import { errorsFrom } from '../conf/error.ts'
import { runHostCommand } from './command.ts'
import { type FollowedPath, followPath, isWithin } from './followed-path.ts'
import type { OwnerIds } from './owner.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const UNSHARE = '/usr/bin/unshare'
const NSENTER = '/usr/bin/nsenter'
const MOUNT = '/usr/bin/mount'
const UMOUNT = '/usr/bin/umount'
const MKNOD = '/usr/bin/mknod'

/** Numbers of capabilities in the kernel's masks. */
const CAP_SYS_ADMIN = 21
const CAP_MKNOD = 27

/** What there is of a view; it can be kept as JSON. */
export interface MountView {
  /** directory of ours with what covers others, and the tables of mounts */
  staging: string
  /** directories that are covered, in the order of their covers: /dev is the first, none lies in another */
  covers: string[]
}

/** Covers can be passed by who knows what to ask for. Nobody but us writes there: we would follow the links they lay. */
const PASSABLE = 0o711
const READABLE = 0o755
const PRIVATE = 0o700

/**
 * The host's root, for what is admitted later: in a directory that nobody passes but root. With capabilities that pass it
 * all the same, or as root, a program is not confined by a view.
 */
const HIDDEN = '/dev/.virshim'
const HOST = `${HIDDEN}/host`

const coverOf = ({ staging }: MountView, number: number) => join(staging, String(number))
const tableOf = ({ staging }: MountView) => join(staging, 'mounts')

/** Sees to it that views can be made here. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function checkMountViews(): void {
  const refuse = (why: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', `QEMU cannot be confined: ${why}`)
  const status = readFileSync('/proc/self/status', 'utf8')
  const mask = BigInt(`0x${/^CapEff:\s+([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  for (const [name, number] of Object.entries({ CAP_SYS_ADMIN, CAP_MKNOD })) {
    if (((mask >> BigInt(number)) & 1n) === 0n) throw refuse(`it takes ${name}`)
  }
  const [first] = readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n')
  if (!/^\s*0\s+0\s+4294967295$/.test(first!)) throw refuse('mounts of a user namespace cannot show it devices')
  for (const program of [UNSHARE, NSENTER, MOUNT, UMOUNT, MKNOD]) {
    try {
      accessSync(program, constants.X_OK)
    } catch {
      throw refuse(`it takes ${program}`)
    }
  }
}

/**
 * What the programs between us and the confined one do, in one shell of few milliseconds: all mounts in one go, the
 * master of pseudo-terminals, which cannot be bound, and no core files. It is a fixed text; what differs are arguments.
 */
const SCRIPT = `${MOUNT} -n -a -T "$1" && ${MKNOD} -m 666 /dev/ptmx c 5 2 || exit
[ "$2" = core ] || ulimit -c 0
shift 2
exec "$@"`

/** Words before a command that give it the view, and IPC objects of its own. @param core it may leave core files */
export const viewArgv = (view: MountView, { core = false } = {}): string[] => [
  ...[UNSHARE, '--mount', '--ipc', '--propagation', 'slave', '--'],
  ...['/bin/sh', '-c', SCRIPT, 'sh', tableOf(view), core ? 'core' : 'none']
]

/** What a view is made of. */
export interface ViewParts {
  staging: string
  /** directories to be covered, as far as they are there */
  hidden: readonly string[]
  /** who is to see it, which is not root */
  passer: OwnerIds
  /** files, devices and whole directories to be seen, as far as they are there */
  paths: readonly string[]
}

/** Chooses what is covered: hidden directories, and the topmost that the passer may not pass above any path. */
export function planView({ staging, hidden, passer, paths }: ViewParts): MountView {
  const found = paths.flatMap(path => followPath(path) ?? [])
  const roots = hidden.flatMap(path => followPath(path)?.real ?? [])
  const closed = [...found.map(({ real }) => real), ...roots].flatMap(path => topmostClosed(path, passer) ?? [])
  const all = [...new Set([...roots, ...closed])].filter(path => !isWithin(path, '/dev') && path !== '/')
  const tops = all.filter(path => !all.some(other => other !== path && isWithin(path, other)))
  return { staging, covers: ['/dev', ...tops.sort()] }
}

/** Makes ready what viewArgv() mounts. @param view of planView(), which is to be known on disk by then */
export function stageView(view: MountView, paths: readonly string[]): void {
  rmSync(view.staging, { recursive: true, force: true })
  makeDirectory(view.staging, PRIVATE)
  for (const [i, path] of view.covers.entries()) makeDirectory(coverOf(view, i), path === '/dev' ? READABLE : PASSABLE)
  const inDev = (path: string) => join(coverOf(view, 0), path.slice('/dev'.length))
  makeDirectory(inDev(HIDDEN), PRIVATE)
  makeDirectory(inDev(HOST), PRIVATE)
  for (const [name, to] of DEV_LINKS) symlinkSync(to, inDev(`/dev/${name}`))
  makeDirectory(inDev('/dev/shm'), PASSABLE)
  const bound = byDepth(paths.flatMap(path => followPath(path) ?? []))
  const binds = bound.filter(found => makePlace(view, found)).map(({ real }) => bind(`${HOST}${real}`, real))
  const [, ...others] = view.covers.map((path, i) => bind(`${HOST}${coverOf(view, i)}`, path))
  const first = [
    line('/', inDev(HOST), 'none', 'rbind'),
    line(coverOf(view, 0), '/dev', 'none', 'rbind,nosuid,dev'),
    // others' processes do not show; as a name of its own it is not taken for what is mounted there already
    line('virshim', '/proc', 'proc', 'nosuid,nodev,noexec,hidepid=invisible'),
    line('virshim', '/dev/shm', 'tmpfs', 'nosuid,nodev,noexec,mode=1777')
  ]
  writeTable(tableOf(view), [...first, ...others, ...new Set(binds)])
}

const DEV_LINKS = Object.entries({
  fd: '/proc/self/fd',
  stdin: '/proc/self/fd/0',
  stdout: '/proc/self/fd/1',
  stderr: '/proc/self/fd/2'
})

/** A program that runs with its view. */
export interface Viewer {
  pid: number
  passer: OwnerIds
}

/**
 * Has a view that is in use show more paths, or those that are other files by now.
 * @param keep called with a view that has new covers before they are there
 * @throws VIR_ERR_INTERNAL_ERROR with mount's words
 */
export async function admitPaths(
  view: MountView,
  { pid, passer }: Viewer,
  paths: readonly string[],
  keep: (view: MountView) => void
): Promise<void> {
  const found = byDepth(paths.flatMap(path => followPath(path) ?? []))
  const before = view.covers.length
  for (const { real } of found) {
    const closed = isCovered(view, real) ? undefined : topmostClosed(real, passer)
    if (closed !== undefined) view.covers.push(closed)
  }
  const added = view.covers.slice(before)
  if (added.length > 0) keep(view)
  for (let i = before; i < view.covers.length; i++) makeDirectory(coverOf(view, i), PASSABLE)
  const isNew = (path: string) => added.some(cover => isWithin(path, cover))
  const isWanted = ({ real }: FollowedPath) =>
    isNew(real) || (!shows(pid, real) && !isTheirs(view, { pid, passer }, real))
  const wanted = found.filter(one => makePlace(view, one) && isWanted(one))
  const stale = wanted.filter(({ real }) => !isNew(real) && isMounted(pid, real))
  if (wanted.length === 0) return
  if (stale.length > 0) await enter(pid, UMOUNT, ['-n', '-l', ...stale.map(({ real }) => real)])
  const covers = added.map((path, i) => bind(`${HOST}${coverOf(view, before + i)}`, path))
  writeTable(tableOf(view), [...covers, ...wanted.map(({ real }) => bind(`${HOST}${real}`, real))])
  await enter(pid, MOUNT, ['-n', '-a', '-T', `${HOST}${tableOf(view)}`])
}

/** Has a view in use show paths no more; those under no cover are the host's own and stay. */
export async function dismissPaths(view: MountView, pid: number, paths: readonly string[]): Promise<void> {
  const found = paths.flatMap(path => followPath(path, { lastMayLack: true }) ?? [])
  const mounted = found.filter(({ real }) => isCovered(view, real) && isMounted(pid, real))
  if (mounted.length > 0) await enter(pid, UMOUNT, ['-n', '-l', ...mounted.map(({ real }) => real)])
}

/** Takes away what is left when nobody sees the view any more. */
export const removeView = (staging: string): void => rmSync(staging, { recursive: true, force: true })

const enter = (pid: number, program: string, args: readonly string[]) =>
  runHostCommand(NSENTER, [`--mount=/proc/${pid}/ns/mnt`, '--', program, ...args])

const isCovered = ({ covers }: MountView, path: string) => covers.some(cover => isWithin(path, cover))

/** True where a path leads to the same file on both sides. */
function shows(pid: number, path: string): boolean {
  const [here, there] = [statSync(path), statSync(`/proc/${pid}/root${path}`, { throwIfNoEntry: false })]
  return here.dev === there?.dev && here.ino === there.ino
}

/** True for a path below a directory that the viewer may write: what it lays there would be followed. */
function isTheirs({ covers }: MountView, { pid, passer }: Viewer, path: string): boolean {
  const cover = covers.find(one => isWithin(path, one)) ?? path
  for (let dir = dirname(path); dir.length > cover.length; dir = dirname(dir)) {
    const about = lstatSync(`/proc/${pid}/root${dir}`, { throwIfNoEntry: false })
    if (about && (about.uid === passer.uid || (about.mode & 0o022) !== 0)) return true
  }
  return false
}

/** True where something is mounted at that very path of a program's. */
function isMounted(pid: number, path: string): boolean {
  const name = escapeField(path)
  return readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
    .split('\n')
    .some(entry => entry.split(' ')[4] === name)
}

/** The topmost directory above a path that somebody may not pass: what access lists add counts for nothing. */
function topmostClosed(path: string, { uid, gid }: OwnerIds): string | undefined {
  const mayPass = (about: Stats) => (about.mode & (about.uid === uid ? 0o100 : about.gid === gid ? 0o010 : 0o001)) !== 0
  const parts = dirname(path).split('/').filter(Boolean)
  const above = parts.map((_, i) => `/${parts.slice(0, i + 1).join('/')}`)
  return above.find(dir => !mayPass(statSync(dir)))
}

/** Makes where a path is bound, below its cover, and the links that lead there. @returns false for one under no cover */
function makePlace(view: MountView, { real, links }: FollowedPath): boolean {
  const placeOf = (path: string): Place | undefined => {
    const i = view.covers.findIndex(cover => isWithin(path, cover))
    return i < 0 ? undefined : { base: coverOf(view, i), rest: path.slice(view.covers[i]!.length) }
  }
  for (const { at, to } of links) {
    const place = placeOf(at)
    if (place) makeLink(place, to)
  }
  const place = placeOf(real)
  if (!place) return false
  if (place.rest === '') return true
  makeParents(place)
  const path = join(place.base, place.rest)
  if (existsAsIs(path)) return true
  if (statSync(real).isDirectory()) makeDirectory(path, PASSABLE)
  else writeFileSync(path, '', { mode: 0o600 })
  return true
}

/** A part of a view: a cover, and a path below it that begins with a slash. */
interface Place {
  base: string
  rest: string
}

function makeLink(place: Place, to: string): void {
  const path = join(place.base, place.rest)
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) {
    if (readlinkSync(path) === to) return
    unlinkSync(path)
  }
  makeParents(place)
  symlinkSync(to, path)
}

function makeParents({ base, rest }: Place): void {
  const parts = dirname(rest).split('/').filter(Boolean)
  const mode = statSync(base).mode & 0o777
  parts.forEach((_, i) => {
    const path = join(base, ...parts.slice(0, i + 1))
    if (!existsAsIs(path)) makeDirectory(path, mode)
  })
}

const existsAsIs = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined

function makeDirectory(path: string, mode: number): void {
  mkdirSync(path, { recursive: true })
  // whatever our umask is
  chmodSync(path, mode)
}

/** Those above come first. */
const byDepth = (found: FollowedPath[]) => found.sort((a, b) => a.real.length - b.real.length)

const bind = (from: string, to: string) => line(from, to, 'none', 'rbind')

const line = (what: string, where: string, type: string, options: string) =>
  `${escapeField(what)} ${escapeField(where)} ${type} ${options} 0 0`

/** A field of fstab(5), and of the kernel's mountinfo. */
const escapeField = (text: string) =>
  text.replace(/[ \t\n\\]/g, char => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`)

const writeTable = (path: string, lines: Iterable<string>) =>
  writeFileSync(path, [...lines, ''].join('\n'), { mode: 0o600 })
