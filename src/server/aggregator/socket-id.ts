// Identity of a shim: the socket it was found at. All else about it is its own word.
import { statSync } from 'node:fs'

/** Device and inode of the socket at a path, undefined where there is none. */
export function socketIdOf(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found?.isSocket() ? `${found.dev}:${found.ino}` : undefined
}
