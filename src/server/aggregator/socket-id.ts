// Identity of a shim: the socket it was found at. All else about it is its own word.
import { lstatSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'

/** Device, inode and birth of the socket at a path, undefined where there is none. */
export function socketIdOf(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  // the number of one that is gone goes to the next that is made
  return found?.isSocket() ? `${found.dev}:${found.ino}:${found.birthtimeNs}` : undefined
}

/**
 * True where a path that we are only told is that of a shim's socket, made by the owner of its directory: nobody has us
 * connect to whatever socket there is, not through a link either.
 * @param uid who must be the owner; absent: anybody
 */
export function looksLikeShim(path: string, uid?: number): boolean {
  if (basename(path) !== 'api.sock') return false
  const found = lstatSync(path, { throwIfNoEntry: false })
  const directory = lstatSync(dirname(path), { throwIfNoEntry: false })
  return found?.isSocket() === true && directory?.uid === found.uid && (uid ?? found.uid) === found.uid
}
