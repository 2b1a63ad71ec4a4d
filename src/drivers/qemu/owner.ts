// Who QEMU runs as, and how it comes by the files it needs where that is somebody else than we.
import { chmodSync, chownSync } from 'node:fs'
import { errorsFrom } from '../../conf/error.ts'
import { makePrivateDirectory } from '../../state/store.ts'
import { groupId, primaryGroupId, userId } from './host-ids.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Names or numbers; without a user QEMU runs as we do. */
export interface ProcessOwner {
  user?: string | undefined
  /** without it the user's own */
  group?: string | undefined
}

export interface OwnerIds {
  uid: number
  gid: number
}

/** Undefined where QEMU runs as we do. @throws VIR_ERR_INVALID_ARG for names the host does not know */
export function ownerIds({ user, group }: ProcessOwner): OwnerIds | undefined {
  if (user === undefined) return undefined
  const uid = userId(user)
  return { uid, gid: group === undefined ? primaryGroupId(uid) : groupId(group) }
}

/** Makes a file QEMU's own. @throws VIR_ERR_SYSTEM_ERROR */
export function giveTo(path: string, owner: ProcessOwner): void {
  const ids = ownerIds(owner)
  if (ids) withReason(path, () => chownSync(path, ids.uid, ids.gid))
}

/** Makes a directory for QEMU's user alone, whatever our umask. @throws VIR_ERR_SYSTEM_ERROR */
export function makeDirectoryFor(path: string, owner: ProcessOwner): void {
  makePrivateDirectory(path)
  withReason(path, () => chmodSync(path, 0o700))
  giveTo(path, owner)
}

const SEARCHABLE_BY_GROUP = 0o710

/** Lets QEMU through a directory of ours to what it was given in it: it can neither list nor change it. */
export function letThrough(path: string, owner: ProcessOwner): void {
  const ids = ownerIds(owner)
  if (!ids) return
  withReason(path, () => {
    chownSync(path, -1, ids.gid)
    chmodSync(path, SEARCHABLE_BY_GROUP)
  })
}

function withReason(path: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `cannot give '${path}' to QEMU: ${(error as Error).message}`, error)
  }
}
