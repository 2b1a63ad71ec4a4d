// Bitmaps of a checkpoint in the images of a running guest: found over chains, and removed.
import type { CheckpointDef } from '../../../conf/moment/checkpoint.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { findBitmap, queryBlockNodes, removeBitmap } from '../block/bitmaps.ts'
import { effectiveNode, reopenImage } from '../block/nodes.ts'
import { diskUse } from '../device/disk/backend.ts'
import { diskNamed } from '../device/disk/lookup.ts'
import type { QemuDomain } from '../domain/domain.ts'

/** A disk of a checkpoint that has a bitmap. */
export interface MarkedDisk {
  name: string
  bitmap: string
}

/** The disks of a checkpoint that have bitmaps. */
export const markedDisks = ({ disks }: CheckpointDef): MarkedDisk[] =>
  disks.flatMap(({ name, checkpoint, bitmap }) =>
    checkpoint === 'bitmap' && bitmap !== undefined ? [{ name, bitmap }] : []
  )

/** A checkpoint's bitmap in one image of a chain. */
export interface Mark {
  disk: string
  bitmap: string
  node: string
  /** the image, where it is only read and has to be opened for writing first */
  reopen?(readOnly: boolean): Promise<void>
}

/** The bitmaps of a checkpoint in the images of the disks that are still there. */
export async function findMarks({ qmp, def, context: { qemu } }: QemuDomain, marked: MarkedDisk[]): Promise<Mark[]> {
  const known = { nodes: await queryBlockNodes(qmp), qemu }
  return marked.flatMap(({ name, bitmap }) => {
    const disk = diskNamed(def, name)
    if (!disk) return []
    return storageChain(disk.source).flatMap((source, depth): Mark[] => {
      if (!findBitmap(known, source, bitmap)) return []
      const reopen = (readOnly: boolean) => reopenImage(qmp, source, qemu, { ...diskUse(disk), readOnly })
      return [{ disk: name, bitmap, node: effectiveNode(source, qemu), ...(depth > 0 && { reopen }) }]
    })
  })
}

/** The images below those that the guest writes to, of the disks that are still there. */
export function lowerImages({ qmp, def, context: { qemu } }: QemuDomain, marked: MarkedDisk[]) {
  return marked.flatMap(({ name }) => {
    const disk = diskNamed(def, name)
    const [, ...lower] = disk ? storageChain(disk.source) : []
    return lower.map(source => ({
      node: effectiveNode(source, qemu),
      reopen: (readOnly: boolean) => reopenImage(qmp, source, qemu, { ...diskUse(disk!), readOnly })
    }))
  })
}

/** Removes bitmaps all or none; layers that are only read are opened for writing meanwhile. */
export async function removeMarks({ qmp, log }: QemuDomain, found: Mark[]): Promise<void> {
  const opened: Mark[] = []
  try {
    for (const one of found) {
      if (!one.reopen) continue
      await one.reopen(false)
      opened.push(one)
    }
    const actions = found.map(({ node, bitmap }) => removeBitmap(node, bitmap))
    if (actions.length > 0) await qmp.execute('transaction', { actions })
  } finally {
    for (const { reopen, node } of opened)
      await reopen!(true).catch(err => log.warn({ err, node }, 'a lower image stays open for writing'))
  }
}
