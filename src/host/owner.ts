// The user QEMU runs as; files and directories it needs are given to that user where it is another than ours.
import { chmodSync, existsSync, lchownSync, readdirSync, rmdirSync, statSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errorsFrom } from '../conf/error.ts'
import { userDirectories } from '../state/root.ts'
import { makePrivateDirectory } from '../state/store.ts'
import { groupId, primaryGroupId, userId } from './ids.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Names or numbers; without both QEMU runs as we do. */
export interface ProcessOwner {
  user?: string | undefined
  /** without it the user's own */
  group?: string | undefined
  /** groups that a user which is not known is in beside it */
  groups?: readonly number[] | undefined
}

/** Users that guests may have, each alone. */
export interface UidRange {
  first: number
  last: number
}

export interface OwnerIds {
  uid: number
  gid: number
}

/** User and group as numbers, undefined where QEMU runs as we do. @throws VIR_ERR_INVALID_ARG for unknown names */
export function ownerIds({ user, group }: ProcessOwner): OwnerIds | undefined {
  if ((user ?? group) === undefined) return undefined
  const uid = user === undefined ? (process.getuid?.() ?? 0) : userId(user)
  return { uid, gid: group === undefined ? primaryGroupId(uid) : groupId(group) }
}

/** Makes a file QEMU's own; of a link the link, not what it leads to. @throws VIR_ERR_SYSTEM_ERROR */
export function giveTo(path: string, owner: ProcessOwner): void {
  const ids = ownerIds(owner)
  if (ids) withReason(path, () => lchownSync(path, ids.uid, ids.gid))
}

/** Makes a directory for QEMU's user alone. @throws VIR_ERR_SYSTEM_ERROR */
export function makeDirectoryFor(path: string, owner: ProcessOwner): void {
  makePrivateDirectory(path)
  giveTo(path, owner)
}

/** Takes away a directory QEMU's user could put anything into: no link it has laid there is followed. */
export function removeGivenDirectory(path: string): void {
  let names: string[]
  try {
    names = readdirSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  for (const name of names) unlinkSync(join(path, name))
  rmdirSync(path)
}

const PRIVATE = 0o700
/** of a directory whose sockets a group may use */
const PASSABLE_TO_GROUP = 0o710
/** Mode of a directory others can pass through to files whose names they know, but not list. */
const PASSABLE = 0o711

/**
 * Lets QEMU's user through directories of ours to what it was given in them. With the system's own directories those
 * above are opened too, which all guests share.
 */
export function letThrough(dirs: string[], owner: ProcessOwner): void {
  if (!ownerIds(owner)) return
  const { run, data } = userDirectories()
  for (const dir of dirs) {
    if (!existsSync(dir)) continue
    for (let above = dir; above === dir || isWithin(above, run) || isWithin(above, data); above = dirname(above)) {
      withReason(above, () => chmodSync(above, PASSABLE))
    }
  }
}

const isWithin = (path: string, dir: string) => path === dir || path.startsWith(`${dir}/`)

/** Undoes letThrough for what is the guest's alone. */
export function shut(dirs: string[]): void {
  for (const dir of dirs) {
    const found = statSync(dir, { throwIfNoEntry: false })
    if (found) chmodSync(dir, found.gid === process.getgid?.() ? PRIVATE : PASSABLE_TO_GROUP)
  }
}

function withReason(path: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `cannot give '${path}' to QEMU: ${(error as Error).message}`, error)
  }
}
