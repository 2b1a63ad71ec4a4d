// Directories the guest's memory lies in, where that is files: made before a start, removed after the run.
import { chmodSync } from 'node:fs'
import { dirname } from 'node:path'
import { hugetlbMounts } from '../../../host/memory.ts'
import { makeDirectoryFor, type ProcessOwner, removeGivenDirectory } from '../../../host/owner.ts'
import { makePrivateDirectory } from '../../../state/store.ts'
import type { GuestPaths } from '../context.ts'

/** Guests of several users lie in it; each has a directory of its own. */
const SHARED = 0o711

const hugepageDirs = ({ hugepageSubdir }: GuestPaths) => hugetlbMounts().map(({ dir }) => `${dir}/${hugepageSubdir}`)

/** Makes them for the user QEMU runs as. @throws VIR_ERR_SYSTEM_ERROR */
export function makeMemoryDirectories(dirs: Iterable<string>, paths: GuestPaths, owner: ProcessOwner): void {
  for (const dir of dirs) {
    if (hugepageDirs(paths).includes(dir)) {
      makePrivateDirectory(dirname(dir))
      chmodSync(dirname(dir), SHARED)
    }
    makeDirectoryFor(dir, owner)
  }
}

/** Frees what a guest's memory took of the disk and of huge pages. */
export function removeMemoryDirectories(paths: GuestPaths): void {
  for (const dir of [paths.memoryBackingDir, ...hugepageDirs(paths)]) removeGivenDirectory(dir)
}
