// Another size for a disk of a running guest.
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { virDomainBlockResizeFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { isStorageEmpty } from '../../../conf/storage/source.ts'
import { blockDeviceBytes } from '../../../host/block-device.ts'
import { effectiveNode } from '../block/nodes.ts'
import { diskNamed } from '../device/disk/lookup.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_DOMAIN_BLOCK_RESIZE_BYTES, VIR_DOMAIN_BLOCK_RESIZE_CAPACITY, VIR_DOMAIN_BLOCK_RESIZE_EXTEND } =
  virDomainBlockResizeFlags
const SECTOR = 512n
const KIB = 1024n
const SIZE_MAX_KIB = (2n ** 64n - 1n) / KIB

/** Bytes. @throws VIR_ERR_OVERFLOW for more KiB than there can be bytes */
export function resizeBytes(size: bigint, flags: number): bigint {
  if ((flags & VIR_DOMAIN_BLOCK_RESIZE_BYTES) !== 0) return size
  if (size > SIZE_MAX_KIB) throw fail('VIR_ERR_OVERFLOW', `size must be less than ${SIZE_MAX_KIB}`)
  return size * KIB
}

/**
 * Resizes a disk (qemuDomainBlockResize).
 * @param name target, or source where one disk alone has it
 * @param size bytes, of which qcow2 and qed have whole sectors
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_OPERATION_UNSUPPORTED for what has no size of its own, VIR_ERR_OPERATION_FAILED for
 *   one that is to grow and would shrink, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function resizeDisk(domain: QemuDomain, name: string, size: bigint, flags: number): Promise<void> {
  const disk = diskNamed(domain.def, name)
  if (!disk) throw fail('VIR_ERR_INVALID_ARG', `disk '${name}' was not found in the domain config`)
  const { source, target } = disk
  const unsupported = (words: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', words)
  if (isStorageEmpty(source) || disk.readonly) throw unsupported(`can't resize empty or readonly disk '${target?.dev}'`)
  if (source.type === 'vhostuser') throw unsupported('block resize is not supported for vhostuser disk')
  let bytes = size
  if ((flags & VIR_DOMAIN_BLOCK_RESIZE_CAPACITY) !== 0) {
    if ((source.format ?? 'raw') !== 'raw' || source.type !== 'block') {
      throw unsupported("block resize to full capacity supported only with 'raw' local block-based disks")
    }
    bytes = blockDeviceBytes(source.path ?? '')
    if (size !== 0n && size !== bytes) {
      throw fail('VIR_ERR_INVALID_ARG', `Requested resize to '${size}' but device size is '${bytes}'`)
    }
  }
  if (source.format === 'qcow2' || source.format === 'qed') bytes = ((bytes + SECTOR - 1n) / SECTOR) * SECTOR
  if (source.slice) throw unsupported(whySliceStays(disk, bytes))
  if ((flags & VIR_DOMAIN_BLOCK_RESIZE_EXTEND) !== 0) {
    if (target?.bus === 'sd') throw unsupported('cannot prevent shrink on SD devices')
    const now = await presentBytes(domain, disk)
    if (bytes < now) {
      throw fail('VIR_ERR_OPERATION_FAILED', `resize of '${name}' would shrink it from '${now}' to '${bytes}' bytes`)
    }
  }
  const place =
    target?.bus === 'sd'
      ? { device: `drive-${disk.alias}` }
      : { 'node-name': effectiveNode(source, domain.context.qemu) }
  await domain.qmp.execute('block_resize', { ...place, size: bytes })
}

/** libvirt's refusals of a disk that is a part of its image, and ours of those that it resizes. */
function whySliceStays({ source, target }: DiskDef, bytes: bigint): string {
  if (target?.bus === 'sd') return "resize of a 'sd' disk with storage slice is not supported"
  if (source.slice!.offset > 0n) {
    return "resize of a disk with storage slice with non-zero 'offset' is not supported"
  }
  if ((source.format ?? 'raw') !== 'raw') {
    return "resize of a disk with storage slice is supported only for 'raw' images"
  }
  const device = source.type === 'block' ? blockDeviceBytes(source.path ?? '') : bytes
  if (device !== bytes) return `block device backed disk must be resized to its actual size '${device}'`
  return 'resizing of a part of an image is not supported'
}

interface QmpNode {
  'node-name': string
  image: { 'virtual-size': number | bigint }
}

/** A disk's size as its guest has it. @throws VIR_ERR_INTERNAL_ERROR when QEMU does not say */
async function presentBytes({ qmp, context }: QemuDomain, { source, target }: DiskDef): Promise<bigint> {
  const node = effectiveNode(source, context.qemu)
  const nodes = await qmp.execute<QmpNode[]>('query-named-block-nodes', { flat: true })
  const size = nodes.find(one => one['node-name'] === node)?.image['virtual-size']
  if (size === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', `the size of disk '${target?.dev}' is not known`)
  return BigInt(size)
}
