// Randomness from the kernel, as node:crypto gives it: every start needs some, and loading OpenSSL for it costs 5 ms.
// biome-ignore lint/style/noRestrictedImports: a draw reads nothing that anybody wrote
import { closeSync, openSync, readSync } from 'node:fs'

/** @returns so many bytes nobody can foresee. @throws Error of the file system where there is no /dev/urandom */
export function randomBytes(size: number): Buffer {
  const bytes = Buffer.alloc(size)
  const fd = openSync('/dev/urandom', 'r')
  try {
    for (let filled = 0; filled < size; ) filled += readSync(fd, bytes, filled, size - filled, null)
  } finally {
    closeSync(fd)
  }
  return bytes
}

/** A random UUID. Source: RFC 9562, version 4. */
export function randomUUID(): string {
  const bytes = randomBytes(16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
