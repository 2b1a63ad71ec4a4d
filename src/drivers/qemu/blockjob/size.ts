// Measures for an image that is to be like another, as QEMU has it (qemuBlockStorageSourceCreateDetectSize).
import { errorsFrom } from '../../../conf/error.ts'
import { isStorageEmpty, type StorageSource } from '../../../conf/storage/source.ts'
import type { NewImageSize } from '../block/create.ts'
import { isDecrypted } from '../block/format.ts'
import { effectiveNode } from '../block/nodes.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A node of query-named-block-nodes. */
interface QmpNode {
  'node-name': string
  image: {
    'virtual-size': number | bigint
    'actual-size'?: number | bigint
    'cluster-size'?: number | bigint
    'format-specific'?: { type: string; data: { 'extended-l2'?: boolean } }
  }
}

/** The nodes by their names, without those below them. */
async function namedNodes({ qmp }: QemuDomain): Promise<Map<string, QmpNode>> {
  const nodes = await qmp.execute<QmpNode[]>('query-named-block-nodes', { flat: true })
  return new Map(nodes.map(node => [node['node-name'], node]))
}

/** Of an image like `template`, in its own format. @throws VIR_ERR_INTERNAL_ERROR for a node QEMU has not */
export async function imageSize(
  domain: QemuDomain,
  template: StorageSource,
  source: StorageSource
): Promise<NewImageSize> {
  const node = isStorageEmpty(template) ? '(null)' : effectiveNode(template, domain.context.qemu)
  const found = (await namedNodes(domain)).get(node)?.image
  if (!found) throw fail('VIR_ERR_INTERNAL_ERROR', `failed to update capacity data for block node '${node}'`)
  const capacity = BigInt(found['virtual-size'])
  const isLike = template.format === 'qcow2' && source.format === 'qcow2'
  const isRaw = source.format === 'raw' && !isDecrypted(source)
  const cluster = found['cluster-size']
  return {
    capacity,
    physical: isRaw ? capacity : BigInt(found['actual-size'] ?? capacity),
    ...(isLike && cluster !== undefined && { clusterSize: BigInt(cluster) }),
    ...(isLike && found['format-specific']?.data['extended-l2'] && { extendedL2: true })
  }
}
