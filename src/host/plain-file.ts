// Files that users and images name, opened as an attacker would not like: a FIFO or a device would be waited for.
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'

/**
 * Opens a file or block device to read, and nothing else: no FIFO is waited for, no terminal becomes ours.
 * @returns a descriptor to be closed
 * @throws Error with what the system says
 */
export function openPlainFile(path: string): number {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  const found = fstatSync(fd)
  if (found.isFile() || found.isBlockDevice()) return fd
  closeSync(fd)
  throw new Error('neither a file nor a block device')
}

/** The content of such a file. @throws as openPlainFile */
export function readPlainFile(path: string): Buffer {
  const fd = openPlainFile(path)
  try {
    return readFileSync(fd)
  } finally {
    closeSync(fd)
  }
}
