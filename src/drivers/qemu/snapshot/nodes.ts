// What QEMU knows of the images of a running guest (qemuBlockGetNamedNodeData).
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import type { BlockBitmap } from '../block/bitmaps.ts'
import type { NewImageSize } from '../block/create.ts'
import { storageIds } from '../block/node-names.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'

type Count = number | bigint

/** A node of query-named-block-nodes; sizes in bytes. */
export interface BlockNode {
  'node-name': string
  image: {
    'virtual-size': Count
    'actual-size'?: Count
    'cluster-size'?: Count
    'format-specific'?: { data?: { 'extended-l2'?: boolean } }
    snapshots?: { name: string; 'vm-state-size': Count }[]
  }
  'dirty-bitmaps'?: BlockBitmap[]
}

/** All nodes by name. */
export async function blockNodes(qmp: QmpMonitor): Promise<Map<string, BlockNode>> {
  const nodes = await qmp.execute<BlockNode[]>('query-named-block-nodes', { flat: true })
  return new Map(nodes.map(node => [node['node-name'], node]))
}

/** The node of an image's format, which has its internal snapshots; raw images have none. */
export const snapshotNode = (source: StorageSource): string | undefined =>
  source.index === undefined || source.format === 'raw' ? undefined : storageIds(source).formatNode

const NVRAM_NODE = 'libvirt-pflash1-format'

/** The node of UEFI variables that can be in a snapshot. */
export const nvramNode = ({ os: { loader } }: DomainDef): string[] =>
  loader?.nvram?.source.format === 'qcow2' ? [NVRAM_NODE] : []

/** The internal snapshot of that name in a node. */
export const snapshotIn = (node: BlockNode | undefined, name: string) =>
  node?.image.snapshots?.find(one => one.name === name)

/** Measures of an overlay, from the image below it (qemuBlockStorageSourceCreateDetectSize). */
export function overlaySize({ image }: BlockNode, isQcow2: boolean): NewImageSize {
  const capacity = BigInt(image['virtual-size'])
  const cluster = image['cluster-size']
  return {
    capacity,
    physical: BigInt(image['actual-size'] ?? capacity),
    ...(isQcow2 && cluster !== undefined && { clusterSize: BigInt(cluster) }),
    ...(isQcow2 && image['format-specific']?.data?.['extended-l2'] && { extendedL2: true })
  }
}
