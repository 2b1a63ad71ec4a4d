// Layout of this aggregator's guests: below its root, or spread over the user's directories.
import { readdirSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { chooseRoot, type GuestRoot, guestRoot, userDirectories } from '../../state/root.ts'

export interface Layout {
  /** the aggregator's own files; only sockets and directory are used */
  root: GuestRoot
  /** holds a directory per guest: its sockets and live status */
  guestsDir: string
  /** holds the persistent definitions; absent where each lies in its guest's directory */
  definitionsDir: string | undefined
  /** the files of a guest by its name */
  guest(name: string): GuestRoot
}

/** The socket that containers are given: it takes claims and word of shims, and nothing else. */
export const claimsSocketIn = (dir: string): string => join(dir, 'claims.sock')

/** The layout below `--root DIR`, or with undefined that of this user. */
export function layoutOf(dir: string | undefined): Layout {
  if (dir === undefined) {
    const { run, config } = userDirectories()
    return {
      root: guestRoot(run),
      guestsDir: join(run, 'guests'),
      definitionsDir: join(config, 'guests'),
      guest: name => chooseRoot(undefined, name)
    }
  }
  const root = guestRoot(resolve(dir))
  const guestsDir = join(root.dir, 'guests')
  return { root, guestsDir, definitionsDir: undefined, guest: name => guestRoot(join(guestsDir, name)) }
}

/** Names of all guests that have a directory or a definition here. */
export function guestNames({ guestsDir, definitionsDir }: Layout): Set<string> {
  const names = new Set(entriesOf(guestsDir))
  if (definitionsDir !== undefined) {
    for (const file of entriesOf(definitionsDir)) if (file.endsWith('.xml')) names.add(basename(file, '.xml'))
  }
  for (const name of names) if (name.startsWith('.')) names.delete(name)
  return names
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
