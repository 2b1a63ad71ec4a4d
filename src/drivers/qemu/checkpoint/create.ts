// New checkpoints: a bitmap in each disk's top image from now on, and the description of it. Those that are described
// anew, as other programs have kept them.

import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { parseDomain } from '../../../conf/domain-xml.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import {
  alignCheckpointDisks,
  type CheckpointDef,
  nameBitmaps,
  parseCheckpoint
} from '../../../conf/moment/checkpoint.ts'
import { type Action, addBitmap, isBitmapWhole, queryBlockNodes, removeBitmap } from '../block/bitmaps.ts'
import { effectiveNode } from '../block/nodes.ts'
import { formatMigratable } from '../definition/migratable.ts'
import { completeDomain } from '../definition/passes.ts'
import { diskNamed } from '../device/disk/lookup.ts'
import { checkTakesJobs } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { isFoundAgain, isRefusal } from '../process/monitor.ts'
import { settleCheckpoint } from './delete.ts'
import { type MarkedDisk, markedDisks } from './marks.ts'
import { checkpointsOf, redefined } from './tree.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const badCheckpoint = argumentErrorsFrom('VIR_FROM_DOMAIN_CHECKPOINT')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** The guest as it is now, as a checkpoint keeps it. */
function currentDef({ def, context, running }: QemuDomain): DomainDef {
  const copy = parseDomain(formatMigratable(def, context, running.originalCpu), { abiUpdate: false })
  completeDomain(copy, context, { isNew: false })
  return copy
}

/** @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_OPERATION_UNSUPPORTED (qemuCheckpointPrepare) */
function checkDisk({ name }: CheckpointDef, { name: target, bitmap }: MarkedDisk, disk: DiskDef): void {
  if (bitmap !== name) throw unsupported(`bitmap for disk '${target}' must match checkpoint name '${name}'`)
  const { format = 'none' } = disk.source
  if (format !== 'qcow2') throw unsupported(`checkpoint for disk ${target} unsupported for storage type ${format}`)
  checkTakesJobs(disk)
}

/**
 * Completes a new checkpoint and gives what QEMU is to do for it (qemuCheckpointCreateCommon).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_OPERATION_FAILED for a name that is taken
 */
export function prepareCheckpoint(domain: QemuDomain, def: CheckpointDef): Action[] {
  const { def: live, context } = domain
  def.dom = currentDef(domain)
  alignCheckpointDisks(def)
  const marked = markedDisks(def).map(one => ({ ...one, disk: diskNamed(live, one.name)! }))
  for (const { disk, ...one } of marked) checkDisk(def, one, disk)
  const tree = checkpointsOf(domain)
  if (tree.current) def.parentName = tree.current.name
  tree.checkNew(def)
  return marked.map(({ disk, bitmap }) =>
    addBitmap(effectiveNode(disk.source, context.qemu), bitmap, { persistent: true, disabled: false })
  )
}

/** Undoes what was done for a checkpoint that is not to be. */
export const undoing = (actions: Action[]): Action[] =>
  actions.map(({ data: { node, name } }) => removeBitmap(node as string, name as string))

/**
 * True if no image has a bitmap of the checkpoint's name. QEMU refuses to make another; what is there is a former
 * checkpoint's, of which only the description was deleted, and stays.
 */
export async function isUnmarked({ qmp }: QemuDomain, { name }: CheckpointDef): Promise<boolean> {
  const nodes = await queryBlockNodes(qmp)
  return ![...nodes.values()].some(({ bitmaps }) => bitmaps.some(bitmap => bitmap.name === name))
}

/**
 * Keeps a checkpoint whose bitmaps are there (qemuCheckpointCreateFinalize).
 * @throws VIR_ERR_INTERNAL_ERROR where it cannot be saved; it is forgotten then
 */
function keepCheckpoint(domain: QemuDomain, def: CheckpointDef, isCurrent: boolean): void {
  try {
    checkpointsOf(domain).apply({ put: [def], ...(isCurrent && { current: def }) })
  } catch (error) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `unable to save metadata for checkpoint ${def.name}`, error)
  }
}

async function begin(domain: QemuDomain, def: CheckpointDef): Promise<void> {
  await settleCheckpoint(domain)
  const actions = prepareCheckpoint(domain, def)
  const { running, qmp } = domain
  if (await isUnmarked(domain, def)) running.checkpoint = { creating: def.name }
  domain.save()
  try {
    await qmp.execute('transaction', { actions })
    await keepOrUndo(domain, def, actions)
  } catch (error) {
    if (await isFoundAgain(domain, error)) await settleCheckpoint(domain)
    // of a QEMU that is not heard nobody knows yet
    if (isRefusal(error) || domain.run !== running) running.checkpoint = undefined
    domain.changed()
    throw error
  }
  running.checkpoint = undefined
  domain.changed()
}

/** Keeps a checkpoint, or takes its bitmaps away. @throws as keepCheckpoint */
export async function keepOrUndo(domain: QemuDomain, def: CheckpointDef, actions: Action[]): Promise<void> {
  try {
    keepCheckpoint(domain, def, true)
  } catch (error) {
    const undone = domain.qmp.execute('transaction', { actions: undoing(actions) })
    await undone.catch(err => domain.log.warn({ err, checkpoint: def.name }, 'bitmaps of a checkpoint stay'))
    throw error
  }
}

/** @throws VIR_ERR_CHECKPOINT_INCONSISTENT (qemuCheckpointRedefineValidateBitmaps) */
async function checkBitmaps(domain: QemuDomain, { name, disks }: CheckpointDef): Promise<void> {
  domain.checkActive()
  const known = { nodes: await queryBlockNodes(domain.qmp), qemu: domain.context.qemu }
  for (const one of disks) {
    const disk = one.checkpoint === 'bitmap' ? diskNamed(domain.def, one.name) : undefined
    if (disk && !isBitmapWhole(known, disk.source, name))
      throw fail('VIR_ERR_CHECKPOINT_INCONSISTENT', `missing or broken bitmap '${name}' for disk '${one.name}'`)
  }
}

/** Takes a description that was kept elsewhere (qemuCheckpointRedefine). */
async function redefine(domain: QemuDomain, def: CheckpointDef, validate: boolean): Promise<void> {
  const tree = checkpointsOf(domain)
  tree.checkParent(def)
  if (def.dom && def.dom.uuid !== domain.uuid)
    throw badCheckpoint(`definition for checkpoint ${def.name} must use uuid ${domain.uuid}`)
  if (def.dom) alignCheckpointDisks(def)
  else nameBitmaps(def)
  const { current } = tree
  const isCurrent = current === undefined || current === tree.parentOf(def)
  if (validate) await checkBitmaps(domain, def)
  keepCheckpoint(domain, def, isCurrent)
  domain.changed()
}

export interface CreateOptions {
  /** describe one that was there before */
  redefine: boolean
  /** its bitmaps must be there */
  validate: boolean
}

/**
 * Makes a checkpoint, or describes one anew (qemuCheckpointCreateXML).
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for a guest that is shut off, VIR_ERR_CHECKPOINT_INCONSISTENT, and as
 *   parseCheckpoint, prepareCheckpoint and keepCheckpoint
 * @returns its name
 */
export async function createCheckpoint(domain: QemuDomain, xml: string, options: CreateOptions): Promise<string> {
  if (!options.redefine && !domain.isActive)
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'cannot create checkpoint for inactive domain')
  const def = parseCheckpoint(xml, options.redefine ? redefined(domain) : {})
  if (options.redefine) await redefine(domain, def, options.validate)
  else await begin(domain, def)
  return def.name
}
