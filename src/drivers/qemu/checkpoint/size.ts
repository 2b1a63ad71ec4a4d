// The amount of data that has changed since a checkpoint: what an incremental backup from it would copy.
import type { CheckpointDef, CheckpointDisk } from '../../../conf/moment/checkpoint.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import {
  findBitmap,
  isBitmapWhole,
  type KnownImages,
  mergeBitmaps,
  queryBlockNodes,
  removeBitmap
} from '../block/bitmaps.ts'
import { effectiveNode } from '../block/nodes.ts'
import { diskNamed } from '../device/disk/lookup.ts'
import type { QemuDomain } from '../domain/domain.ts'

/** Bitmaps over a chain are merged into one of this name to be counted. */
const MERGED = 'libvirt-tmp-size-xml'

/**
 * A checkpoint with the bytes that have changed on each of its disks; those whose bitmap is broken or that are not there
 * any more tell nothing (qemuCheckpointGetXMLDescUpdateSize).
 * @throws VIR_ERR_OPERATION_INVALID for a guest that is shut off
 */
export async function withSizes(domain: QemuDomain, def: CheckpointDef): Promise<CheckpointDef> {
  domain.checkActive()
  const { qmp, context, def: live } = domain
  const ask = async (): Promise<KnownImages> => ({ nodes: await queryBlockNodes(qmp), qemu: context.qemu })
  const before = await ask()
  const disks = def.disks.flatMap(({ name, checkpoint }: CheckpointDisk) => {
    const top = checkpoint === 'bitmap' ? diskNamed(live, name)?.source : undefined
    return top && isBitmapWhole(before, top, def.name) ? [{ name, top }] : []
  })
  const remove = ({ top }: { top: StorageSource }) => removeBitmap(effectiveNode(top, context.qemu), MERGED)
  const transact = async (actions: object[]) => {
    if (actions.length > 0) await qmp.execute('transaction', { actions })
  }
  // what a process that was killed meanwhile has left
  await transact(disks.filter(({ top }) => findBitmap(before, top, MERGED)).map(remove))
  await transact(disks.flatMap(({ top }) => mergeBitmaps(before, { top, target: top, name: def.name, into: MERGED })))
  const merged = await ask()
  await transact(disks.map(remove))
  const sizes = new Map(disks.map(({ name, top }) => [name, findBitmap(merged, top, MERGED)?.count]))
  return {
    ...def,
    disks: def.disks.map(disk => {
      const { sizeBytes: _, ...rest } = disk
      const size = sizes.get(disk.name)
      return size === undefined ? rest : { ...rest, sizeBytes: BigInt(size) }
    })
  }
}
