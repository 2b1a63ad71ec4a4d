// Measures for an image that is to be like another, as QEMU has it (qemuBlockStorageSourceCreateDetectSize).
import { errorsFrom } from '../../../conf/error.ts'
import { isStorageEmpty, type StorageSource } from '../../../conf/storage/source.ts'
import { type BlockNode, queryBlockNodes } from '../block/bitmaps.ts'
import type { NewImageSize } from '../block/create.ts'
import { isDecrypted } from '../block/format.ts'
import { effectiveNode } from '../block/nodes.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Of an image like that of a node. @param isLike both are qcow2 */
export function sizeLike({ capacityBytes, physicalBytes, clusterSizeBytes, extendedL2 }: BlockNode, isLike: boolean) {
  return {
    capacity: BigInt(capacityBytes),
    physical: BigInt(physicalBytes),
    ...(isLike && clusterSizeBytes !== undefined && { clusterSize: BigInt(clusterSizeBytes) }),
    ...(isLike && extendedL2 && { extendedL2 })
  } satisfies NewImageSize
}

/** Of an image like `template`, in its own format. @throws VIR_ERR_INTERNAL_ERROR for a node QEMU has not */
export async function imageSize(
  domain: QemuDomain,
  template: StorageSource,
  source: StorageSource
): Promise<NewImageSize> {
  const node = isStorageEmpty(template) ? '(null)' : effectiveNode(template, domain.context.qemu)
  const found = (await queryBlockNodes(domain.qmp)).get(node)
  if (!found) throw fail('VIR_ERR_INTERNAL_ERROR', `failed to update capacity data for block node '${node}'`)
  const size = sizeLike(found, template.format === 'qcow2' && source.format === 'qcow2')
  return source.format === 'raw' && !isDecrypted(source) ? { ...size, physical: size.capacity } : size
}
