// Files that a running guest has, by whatever it knows of them: none of these is taken from QEMU.
import { parseDevice } from '../../../conf/device-xml.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { imagePaths, pathsOfDefinition } from './access-paths.ts'

/** States of a backup's disk that QEMU has no image of any more. */
const THROUGH: readonly (string | undefined)[] = ['complete', 'failed', 'cancelled']

/** Paths of its definition, of images that are on their way in or out, and of what is copied by a backup. */
export function usedPaths({ def, run }: QemuDomain): Set<string> {
  const loose = [...(run?.looseImages.values() ?? [])].flatMap(({ disk }) =>
    storageChain((parseDevice(disk, false, true)[1] as DiskDef).source)
  )
  const stores = (run?.backup?.def.disks ?? []).flatMap(({ store, state }): StorageSource[] =>
    store && !THROUGH.includes(state) ? [store] : []
  )
  const images = [...loose, ...stores].flatMap(image => imagePaths(image, true))
  return new Set([...pathsOfDefinition(def), ...images].map(({ path }) => path))
}
