// Look-up of disks: by device and by block node, as QEMU names them, and by target or source, as users do.
import type { DiskDef } from '../../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { storageImages } from '../../../../conf/storage/chain.ts'
import { isLocalStorage, type StorageSource } from '../../../../conf/storage/source.ts'
import { storageIds } from '../../block/node-names.ts'
import { copyOnReadNode } from './guest-device.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** The disk behind a drive, a device or its path in QEMU's object tree (qemuProcessFindDomainDiskByAliasOrQOM). */
export function diskOfDevice({ devices }: DomainDef, device: string): DiskDef | undefined {
  const name = device.replace(/^drive-/, '')
  return devices.disks.find(({ alias }) => alias && (name === alias || name.split('/').includes(alias)))
}

/** The disk and the image of its chain a block node belongs to (qemuDomainDiskLookupByNodename). */
export function imageOfNode(
  { devices }: DomainDef,
  node: string
): { disk: DiskDef; source: StorageSource } | undefined {
  for (const disk of devices.disks) {
    if (disk.driver?.copyOnRead && copyOnReadNode(disk) === node) return { disk, source: disk.source }
    for (const source of storageImages(disk.source)) {
      const { formatNode, storageNode } = storageIds(source)
      if (source.index !== undefined && (node === formatNode || node === storageNode)) return { disk, source }
    }
  }
  return undefined
}

/** The host path of a disk's image, if it has one. */
export function diskSourcePath({ source }: DiskDef): string | undefined {
  return isLocalStorage(source) ? source.path : undefined
}

/**
 * The disk of a target name, or of a source path (virDomainDiskIndexByName).
 * @param first the first of several with one source will do; else they are none
 */
export function diskNamed({ devices }: DomainDef, name = '', { first = false } = {}): DiskDef | undefined {
  if (!name.startsWith('/')) return devices.disks.find(({ target }) => target?.dev === name)
  const found = devices.disks.filter(disk => diskSourcePath(disk) === name)
  return found.length === 1 || first ? found[0] : undefined
}

/** The disk a user means by its target name or source path. */
export function lookupDisk({ devices }: DomainDef, path: string): DiskDef | undefined {
  return devices.disks.find(one => one.target?.dev === path || diskSourcePath(one) === path)
}

/** The same, as it must be there. @throws VIR_ERR_INVALID_ARG */
export function findDisk(def: DomainDef, path: string): DiskDef {
  const disk = lookupDisk(def, path)
  if (!disk) throw fail('VIR_ERR_INVALID_ARG', `invalid path: ${path}`)
  return disk
}
