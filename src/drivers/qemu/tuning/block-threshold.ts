// Events once a guest has written to an image beyond some place.
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { storageImages } from '../../../conf/storage/chain.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import { storageIds } from '../block/node-names.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const INDEX_MAX = 2 ** 32 - 1

/**
 * The image that is meant: the first of a disk's chain by its target, `vda`, or one by its number as well, `vda[2]`
 * (qemuDomainGetStorageSourceByDevstr).
 * @throws VIR_ERR_INVALID_ARG
 */
export function imageNamed({ devices }: DomainDef, name: string): StorageSource {
  const [, target, index = '0'] = /^([^[]*)(?:\[(\d+)\])?$/.exec(name) ?? []
  if (target === undefined || Number(index) > INDEX_MAX) {
    throw fail('VIR_ERR_INVALID_ARG', `failed to parse block device '${name}'`)
  }
  const disk = devices.disks.find(one => one.target?.dev === target)
  if (!disk) throw fail('VIR_ERR_INVALID_ARG', `failed to find disk '${target}'`)
  if (Number(index) === 0) return disk.source
  const images = [disk.source, ...(disk.mirror ? [disk.mirror.source] : [])].flatMap(storageImages)
  const found = images.find(image => image.index === Number(index))
  if (!found) throw fail('VIR_ERR_INVALID_ARG', `failed to find disk '${name}'`)
  return found
}

/**
 * Has QEMU tell when the guest first writes to an image beyond `threshold` bytes, 0 for no longer
 * (qemuDomainSetBlockThreshold).
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_OPERATION_UNSUPPORTED, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function setBlockThreshold(domain: QemuDomain, name: string, threshold: bigint): Promise<void> {
  const image = imageNamed(domain.def, name)
  if (image.type === 'vhostuser') {
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'setting device threshold is not supported for vhostuser disk')
  }
  const { storageNode } = storageIds(image)
  await domain.qmp.execute('block-set-write-threshold', { 'node-name': storageNode, 'write-threshold': threshold })
  const { indexedThresholds } = domain.running
  if (name.includes('[')) indexedThresholds.add(storageNode)
  else indexedThresholds.delete(storageNode)
  domain.save()
}
