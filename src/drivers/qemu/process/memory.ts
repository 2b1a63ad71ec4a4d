// Memory of a guest's QEMU on the host: directories of files it lies in, made before a start and removed after the run,
// and how much of it QEMU may lock.
import { chmodSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { hugetlbMounts } from '../../../host/memory.ts'
import { makeDirectoryFor, type ProcessOwner, removeGivenDirectory } from '../../../host/owner.ts'
import { makePrivateDirectory } from '../../../state/store.ts'
import type { GuestPaths } from '../context.ts'

/** Mode of the directory that guests of several users have their own directories in. */
const SHARED = 0o711

const hugepageDirs = ({ hugepageSubdir }: GuestPaths) => hugetlbMounts().map(({ dir }) => `${dir}/${hugepageSubdir}`)

/** Makes directories of memory files for the user QEMU runs as. @throws VIR_ERR_SYSTEM_ERROR */
export function makeMemoryDirectories(dirs: Iterable<string>, paths: GuestPaths, owner: ProcessOwner): void {
  for (const dir of dirs) {
    if (hugepageDirs(paths).includes(dir)) {
      makePrivateDirectory(dirname(dir))
      chmodSync(dirname(dir), SHARED)
    }
    makeDirectoryFor(dir, owner)
  }
}

/** Removes a guest's memory files, which frees disk space and huge pages. */
export function removeMemoryDirectories(paths: GuestPaths): void {
  for (const dir of [paths.memoryBackingDir, ...hugepageDirs(paths)]) removeGivenDirectory(dir)
}

/** Memory that devices take on top of the guest's, in KiB. */
const DEVICES_KIB = 1024 * 1024

/**
 * Memory QEMU has to lock: bytes, 'unlimited', or undefined where the usual limit will do
 * (qemuDomainGetMemLockLimitBytes).
 *
 * Differs from libvirt: only for x86 guests, and a hard limit does not raise the other where nothing has to be locked:
 * in a container we may not have the right to.
 */
export function memoryLockLimit(def: DomainDef): number | 'unlimited' | undefined {
  const { hardLimitKiB } = def.memtune ?? {}
  const wanted = hardLimitKiB === undefined ? undefined : hardLimitKiB * 1024
  if (def.memoryBacking?.locked) return wanted ?? 'unlimited'
  const { hostdevs, interfaces, iommus } = def.devices
  const vfio = hostdevs.filter(({ source }) => source.type === 'pci' || source.type === 'mdev').length
  const vdpa = interfaces.filter(({ type }) => type === 'vdpa').length
  const times = vdpa + (iommus.length > 0 ? vfio : Math.min(vfio, 1))
  return times === 0 ? undefined : (wanted ?? (times * (def.memoryKiB ?? 0) + DEVICES_KIB) * 1024)
}
