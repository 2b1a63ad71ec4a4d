// Which disk QEMU means: by device, by block node.
import type { DiskDef } from '../../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { storageChain } from '../../../../conf/storage/chain.ts'
import type { StorageSource } from '../../../../conf/storage/source.ts'
import { storageIds } from '../../block/nodes.ts'
import { copyOnReadNode } from './guest-device.ts'

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
    for (const source of storageChain(disk.source)) {
      const { formatNode, storageNode } = storageIds(source)
      if (source.index !== undefined && (node === formatNode || node === storageNode)) return { disk, source }
    }
  }
  return undefined
}
