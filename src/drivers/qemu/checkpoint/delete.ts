// The end of checkpoints: their bitmaps and descriptions. No bitmap has to be merged into another, as each goes on
// recording until its checkpoint is deleted.
import { errorsFrom } from '../../../conf/error.ts'
import type { CheckpointDef } from '../../../conf/moment/checkpoint.ts'
import { diskNamed } from '../device/disk/lookup.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { isFoundAgain, isRefusal } from '../process/monitor.ts'
import { findMarks, lowerImages, type Mark, type MarkedDisk, markedDisks, removeMarks } from './marks.ts'
import { checkpointsOf, findCheckpoint } from './tree.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export interface DeleteOptions {
  /** those below it too, or they alone */
  children?: 'too' | 'only'
  /** the bitmaps stay in the images */
  metadataOnly: boolean
}

/** @throws VIR_ERR_INTERNAL_ERROR for a bitmap that is in no image of its disk (qemuCheckpointDiscardBitmaps) */
async function discardBitmaps(domain: QemuDomain, def: CheckpointDef): Promise<void> {
  const marked = markedDisks(def).filter(({ name }) => diskNamed(domain.def, name))
  const found = await findMarks(domain, marked)
  const lost = marked.find(({ name }) => !found.some(({ disk }) => disk === name))
  if (lost) throw fail('VIR_ERR_INTERNAL_ERROR', `bitmap '${lost.bitmap}' not found in backing chain of '${lost.name}'`)
  domain.running.checkpoint = { deleting: def.name }
  domain.save()
  try {
    await removeMarks(domain, found)
  } catch (error) {
    // QEMU may have removed them, or may yet: they are gone once it has been asked again, or by the next process
    if (!isRefusal(error)) return removeAgain(domain, marked, error)
    domain.running.checkpoint = undefined
    domain.save()
    throw error
  }
}

/** Removes what is left of them, once QEMU is heard again. @throws the error if it is not */
async function removeAgain(domain: QemuDomain, marked: MarkedDisk[], error: unknown): Promise<void> {
  if (!(await isFoundAgain(domain, error))) throw error
  await removeMarks(domain, await findMarks(domain, marked))
}

/** Deletes one (qemuCheckpointDiscard). */
async function discard(domain: QemuDomain, def: CheckpointDef, metadataOnly: boolean): Promise<void> {
  if (!metadataOnly) await discardBitmaps(domain, def)
  checkpointsOf(domain).delete(def)
  if (domain.run) domain.run.checkpoint = undefined
  domain.changed()
}

/**
 * Deletes a checkpoint, or what is below it (qemuCheckpointDelete).
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for bitmaps of a guest that is shut off, VIR_ERR_NO_DOMAIN_CHECKPOINT,
 *   VIR_ERR_INTERNAL_ERROR for one whose bitmap is not there
 */
export async function deleteCheckpoint(
  domain: QemuDomain,
  name: string,
  { children, metadataOnly }: DeleteOptions
): Promise<void> {
  if (!metadataOnly && !domain.isActive)
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'cannot delete checkpoint for inactive domain')
  // one whose deletion QEMU has not answered goes first
  if (domain.isActive) await settleCheckpoint(domain)
  const def = findCheckpoint(domain, name)
  const below = children ? checkpointsOf(domain).descendantsOf(def).reverse() : []
  for (const one of below) await discard(domain, one, metadataOnly)
  if (children !== 'only') await discard(domain, def, metadataOnly)
}

/** Brings to an end what a process before this one was doing to a checkpoint, or what QEMU has not answered. */
export async function settleCheckpoint(domain: QemuDomain): Promise<void> {
  const { checkpoint } = domain.running
  if (!checkpoint) return
  const tree = checkpointsOf(domain)
  const { creating, deleting } = checkpoint
  const name = (creating ?? deleting)!
  const def = tree.get(name)
  // one whose description was not written has them in the top images
  const anywhere = domain.def.devices.disks.map(({ target }) => ({ name: target?.dev ?? '', bitmap: name }))
  const marks = await findMarks(domain, def ? markedDisks(def) : creating === undefined ? [] : anywhere)
  await removeMarks(domain, creating === undefined ? marks : marks.filter(({ reopen }) => !reopen))
  if (def && deleting !== undefined) await closeLower(domain, def, marks)
  if (def) tree.delete(def)
  domain.running.checkpoint = undefined
  domain.changed()
}

/** Lower images that were opened for writing to remove their bitmaps, and of which the bitmaps are gone already. */
async function closeLower(domain: QemuDomain, def: CheckpointDef, closed: readonly Mark[]): Promise<void> {
  for (const { node, reopen } of lowerImages(domain, markedDisks(def))) {
    if (closed.some(one => one.node === node)) continue
    await reopen(true).catch(err => domain.log.warn({ err, node }, 'a lower image may stay open for writing'))
  }
}
