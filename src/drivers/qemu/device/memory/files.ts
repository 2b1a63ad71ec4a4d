// Directories the guest's memory lies in, where that is files: made before a start, removed after the run.
import { chmodSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { MemoryDef } from '../../../../conf/devices/memory.ts'
import { hugetlbMounts } from '../../../../host/memory.ts'
import { makeDirectoryFor, type ProcessOwner, removeGivenDirectory } from '../../../../host/owner.ts'
import { makePrivateDirectory } from '../../../../state/store.ts'
import type { GuestPaths } from '../../context.ts'
import type { HostEnd } from '../family.ts'
import { deviceMemory, memoryDirectory } from './backend.ts'

/** Mode of the directory that guests of several users have their own directories in. */
const SHARED = 0o711

const hugepageDirs = ({ hugepageSubdir }: GuestPaths) => hugetlbMounts().map(({ dir }) => `${dir}/${hugepageSubdir}`)

/** Makes one for the user QEMU runs as. @throws VIR_ERR_SYSTEM_ERROR */
export function makeMemoryDirectory(dir: string, paths: GuestPaths, owner: ProcessOwner): void {
  if (hugepageDirs(paths).includes(dir)) {
    makePrivateDirectory(dirname(dir))
    chmodSync(dirname(dir), SHARED)
  }
  makeDirectoryFor(dir, owner)
}

/** The file of a memory device, where it has one of its own. */
export const memoryFile: HostEnd<MemoryDef> = {
  take(dev, guest) {
    const dir = memoryDirectory(guest, deviceMemory(dev))
    if (dir !== undefined) makeMemoryDirectory(dir, guest.context.paths, guest.owner)
  },
  // huge pages have no name (qemuProcessDestroyMemoryBackingPath)
  give({ alias = '' }, { context }) {
    rmSync(join(context.paths.memoryBackingDir, alias), { force: true })
  }
}

/** Removes a guest's memory files, which frees disk space and huge pages. */
export function removeMemoryDirectories(paths: GuestPaths): void {
  for (const dir of [paths.memoryBackingDir, ...hugepageDirs(paths)]) removeGivenDirectory(dir)
}
