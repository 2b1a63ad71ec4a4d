// Paths that must be there before QEMU is told of them: it would name its own argument, and libvirt names the path.
import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { systemError } from '../conf/errno.ts'
import type { ErrorDomain } from '../conf/error.ts'

/**
 * Looks for a path, if there is one.
 * @param domain of libvirt's that comes to the path first: its cgroups', unless told otherwise
 * @throws VIR_ERR_SYSTEM_ERROR with the words and why the system does not find it
 */
export function checkThere(
  path: string | undefined,
  words = `Path '${path}' is not accessible`,
  domain: ErrorDomain = 'VIR_FROM_CGROUP'
): void {
  if (path === undefined) return
  try {
    statSync(path)
  } catch (error) {
    throw systemError(domain, words, error)
  }
}

/** As checkThere, of the directory that something is to be made in. */
export const checkPlace = (path: string | undefined, words: string, domain: ErrorDomain = 'VIR_FROM_QEMU'): void =>
  checkThere(path === undefined ? undefined : dirname(path), words, domain)
