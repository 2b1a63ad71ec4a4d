// Files that must survive a crash at any moment: written beside, synced, renamed, directory synced.
import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { errorsFrom } from '../conf/error.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** The file that new content is written to first; a process killed meanwhile leaves it behind. */
const temporaryOf = (file: string) => join(dirname(file), `.${basename(file)}.new`)

const FRESH = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_WRONLY

export interface WriteOptions {
  /** it is about processes that a crash of the host ends: the former text may stand there after one */
  ofThisBoot?: boolean
}

/** Replaces a file as a whole; what stood there stays until the new text is on disk. @throws VIR_ERR_SYSTEM_ERROR */
export function writeAtomic(
  file: string,
  content: string | Uint8Array,
  { ofThisBoot = false }: WriteOptions = {}
): void {
  const temporary = temporaryOf(file)
  const made = makeDirectories(dirname(file), 0o700)
  try {
    if (made !== undefined && !ofThisBoot) syncMade(made, dirname(file))
    const fd = openFresh(temporary)
    try {
      const bytes = Buffer.from(content)
      let written = 0
      while (written < bytes.length) written += writeSync(fd, bytes, written)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, file)
    if (!ofThisBoot) syncDirectory(dirname(file))
  } catch (error) {
    rmSync(temporary, { force: true })
    throw fail('VIR_ERR_SYSTEM_ERROR', `cannot write '${file}': ${(error as Error).message}`, error)
  }
}

/** Has directories stay that were just made, from the first of them down to `last`. */
function syncMade(first: string, last: string): void {
  for (let at = resolve(last); ; at = dirname(at)) {
    syncDirectory(dirname(at))
    if (at === first) return
  }
}

/** Opens a file of our own making: never what an interrupted write has left, or somebody has laid there. */
function openFresh(path: string): number {
  try {
    return openSync(path, FRESH, 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    rmSync(path, { force: true })
    return openSync(path, FRESH, 0o600)
  }
}

/** Removes a file for good, with what an interrupted write of it has left; absent is fine. */
export function removeSynced(file: string): void {
  rmSync(temporaryOf(file), { force: true })
  if (!existsSync(file)) return
  rmSync(file, { force: true })
  syncDirectory(dirname(file))
}

/** Has the names in a directory stay as they are, whatever happens. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** The file's text, undefined if there is none. @throws VIR_ERR_SYSTEM_ERROR */
export function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fail('VIR_ERR_SYSTEM_ERROR', `cannot read '${file}': ${(error as Error).message}`, error)
  }
}

/** Makes a directory only its owner can enter, with those above it. @throws VIR_ERR_SYSTEM_ERROR */
export function makePrivateDirectory(path: string): void {
  makeDirectories(path, 0o700)
}

/**
 * Makes a directory with those above it. Node's own `recursive` tries without end below one that takes none, as /proc.
 * @returns the first that was not there, as mkdirSync does
 * @throws VIR_ERR_SYSTEM_ERROR
 */
export function makeDirectories(path: string, mode = 0o777): string | undefined {
  // mostly it is
  if (isDirectory(path)) return undefined
  const missing: string[] = []
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.unshift(at)
  try {
    for (const directory of [...missing, path]) makeOne(directory, mode)
    return missing[0]
  } catch (error) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `cannot create directory '${path}': ${(error as Error).message}`, error)
  }
}

/** Another process may be quicker. */
function makeOne(directory: string, mode: number): void {
  try {
    mkdirSync(directory, mode)
  } catch (error) {
    if (!isDirectory(directory)) throw error
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}
