// Nodes of QEMU's that snapshots are in.
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import type { BlockNode } from '../block/bitmaps.ts'
import { storageIds } from '../block/node-names.ts'

/** The node of an image's format, which has its internal snapshots; raw images have none. */
export const snapshotNode = (source: StorageSource): string | undefined =>
  source.index === undefined || source.format === 'raw' ? undefined : storageIds(source).formatNode

const NVRAM_NODE = 'libvirt-pflash1-format'

/** The node of UEFI variables that can be in a snapshot. */
export const nvramNode = ({ os: { loader } }: DomainDef): string[] =>
  loader?.nvram?.source.format === 'qcow2' ? [NVRAM_NODE] : []

/** The internal snapshot of that name in a node. */
export const snapshotIn = (node: BlockNode | undefined, name: string) => node?.snapshots?.find(one => one.name === name)
