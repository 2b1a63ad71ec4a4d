// Directories the guest's memory lies in, where that is files: made before a start, removed after the run.
import { chmodSync, chownSync, rmSync } from 'node:fs'
import { errorsFrom } from '../../conf/error.ts'
import { makePrivateDirectory } from '../../state/store.ts'
import type { GuestPaths } from './context.ts'
import { groupId, userId } from './host-ids.ts'
import { hugetlbMounts } from './host-memory.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Makes them for the user QEMU runs as. @throws VIR_ERR_SYSTEM_ERROR */
export function makeMemoryDirectories(dirs: Iterable<string>, owner: { user?: string; group?: string }): void {
  for (const dir of dirs) {
    makePrivateDirectory(dir)
    // the shim's own umask lets nobody into what it makes
    chmodSync(dir, 0o700)
    if (owner.user === undefined) continue
    try {
      chownSync(dir, userId(owner.user), groupId(owner.group ?? owner.user))
    } catch (error) {
      throw fail('VIR_ERR_SYSTEM_ERROR', `cannot give '${dir}' to QEMU: ${(error as Error).message}`, error)
    }
  }
}

/** Frees what a guest's memory took of the disk and of huge pages. */
export function removeMemoryDirectories({ memoryBackingDir, hugepageSubdir }: GuestPaths): void {
  const dirs = [memoryBackingDir, ...hugetlbMounts().map(({ dir }) => `${dir}/${hugepageSubdir}`)]
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true })
}
