// The begin of a backup: images for the copies or as scratch space, bitmaps of what has changed, and one transaction in
// which QEMU begins the jobs of all disks, with a checkpoint if one is wanted. Until it is over, the next process takes
// all of it back.
import { existsSync } from 'node:fs'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { virDomainBackupBeginFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { alignBackupDisks, type BackupDef, parseBackup } from '../../../conf/moment/backup.ts'
import { type CheckpointDef, parseCheckpoint } from '../../../conf/moment/checkpoint.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import { type Action, isBitmapWhole, type KnownImages, mergeBitmaps, queryBlockNodes } from '../block/bitmaps.ts'
import { effectiveNode, STACKABLE } from '../block/nodes.ts'
import { type AddedImage, addImage } from '../blockjob/new-image.ts'
import { runQemuJob } from '../blockjob/qemu-job.ts'
import { imageSize } from '../blockjob/size.ts'
import { isUnmarked, keepOrUndo, prepareCheckpoint, undoing } from '../checkpoint/create.ts'
import { settleCheckpoint } from '../checkpoint/delete.ts'
import { checkpointsOf } from '../checkpoint/tree.ts'
import { diskNamed } from '../device/disk/lookup.ts'
import { checkTakesJobs, checkUnassigned } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { type StoredDisk, storedDisks } from '../process/backup-end.ts'
import { isFoundAgain } from '../process/monitor.ts'
import { bitmapName, followBackup, forgetChanges, jobName } from './follow.ts'
import { takeBack } from './recover.ts'
import { exportDisks, prepareServer, startServer, stopServer } from './server.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

const { VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL } = virDomainBackupBeginFlags

/** A disk of the guest and what becomes of it. */
interface Part {
  disk: StoredDisk
  source: DiskDef
  /** the image below the store: the disk's own, or none */
  below: StorageSource | undefined
}

/** Checks a disk and settles what is left open (qemuBackupDiskPrepareDataOne). */
function preparePart(domain: QemuDomain, def: BackupDef, disk: StoredDisk, known: KnownImages): Part {
  const { name, store, incremental } = disk
  const source = diskNamed(domain.def, name)
  if (!source) throw fail('VIR_ERR_INVALID_ARG', `no disk named '${name}'`)
  checkTakesJobs(source)
  store.format ??= 'qcow2'
  const isStacked = def.mode === 'pull' || (incremental !== undefined && STACKABLE.includes(store.format))
  if (incremental !== undefined) {
    if (!checkpointsOf(domain).get(incremental))
      throw fail(
        'VIR_ERR_NO_DOMAIN_CHECKPOINT',
        `Checkpoint '${incremental}' for incremental backup of disk '${name}' not found`
      )
    if (!isBitmapWhole(known, source.source, incremental))
      throw fail('VIR_ERR_CHECKPOINT_INCONSISTENT', `missing or broken bitmap '${incremental}' for disk '${name}'`)
  }
  checkUnassigned(domain, name)
  return { disk, source, below: isStacked ? source.source : undefined }
}

/** Adds the image a disk is backed up to (qemuBackupDiskPrepareOneStorage). */
async function addStore(domain: QemuDomain, { disk, source, below }: Part, reuse: boolean): Promise<AddedImage> {
  const { store, name } = disk
  if (!reuse && store.type === 'file' && existsSync(store.path!))
    throw fail('VIR_ERR_INVALID_ARG', `store '${store.path}' for backup of '${name}' exists`)
  const size = reuse ? undefined : await imageSize(domain, source.source, store)
  return addImage(domain, source, store, { size, backing: below, open: below, use: { readOnly: false } })
}

/** What QEMU does for a disk: its bitmap of changes in the image that shows or is copied, and the job. */
function actionsOf(domain: QemuDomain, { mode }: BackupDef, { disk, source }: Part, known: KnownImages): Action[] {
  const { qemu } = domain.context
  const { incremental, store } = disk
  const top = source.source
  const isPull = mode === 'pull'
  const into = bitmapName(disk)
  const target = isPull ? store : top
  const merged = incremental === undefined ? [] : mergeBitmaps(known, { top, target, name: incremental, into })
  const isIncremental = incremental !== undefined
  if (isPull && isIncremental) disk.exportBitmap ??= into
  const push = isIncremental ? { sync: 'incremental', bitmap: into } : { sync: 'full' }
  const job: Action = {
    type: 'blockdev-backup',
    data: {
      device: effectiveNode(top, qemu),
      'job-id': jobName(domain, disk),
      target: effectiveNode(store, qemu),
      ...(isPull ? { sync: 'none' } : push),
      'auto-finalize': true,
      'auto-dismiss': false
    }
  }
  return [...merged, job]
}

export interface BeginOptions {
  xml: string
  checkpointXml?: string | undefined
  /** virDomainBackupBeginFlags */
  flags: number
}

/**
 * Begins a backup; it goes on within the async job it was called with (qemuBackupBegin).
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for a guest that is shut off, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_INVALID_ARG,
 *   VIR_ERR_NO_DOMAIN_CHECKPOINT, VIR_ERR_CHECKPOINT_INCONSISTENT, and as prepareCheckpoint, addImage and QEMU; nothing
 *   of it is left then
 */
export async function beginBackup(domain: QemuDomain, { xml, checkpointXml, flags }: BeginOptions): Promise<void> {
  const def = parseBackup(xml)
  const checkpoint = checkpointXml === undefined ? undefined : parseCheckpoint(checkpointXml)
  if (!domain.isActive) throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'cannot perform disk backup for inactive domain')
  alignBackupDisks(def, domain.def, checkpoint?.name ?? String(Math.floor(Date.now() / 1000)))
  prepareServer(def)
  const marks = checkpoint ? prepareCheckpoint(domain, checkpoint) : []
  const known: KnownImages = { nodes: await queryBlockNodes(domain.qmp), qemu: domain.context.qemu }
  const parts = storedDisks(def).map(disk => preparePart(domain, def, disk, known))
  if (parts.length === 0) throw unsupported('no disks selected for backup')
  const images: AddedImage[] = []
  try {
    const reuse = (flags & VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL) !== 0
    for (const part of parts) images.push(await addStore(domain, part, reuse))
    const actions = [...marks, ...parts.flatMap(part => actionsOf(domain, def, part, known))]
    await begin(domain, def, { flags, checkpoint, marks, actions })
  } catch (error) {
    for (const image of images.reverse()) await image.discard()
    throw error
  }
  const { backup } = domain.running
  for (const image of images) image.keep()
  backup!.begun = true
  domain.running.checkpoint = undefined
  domain.changed()
  followBackup(domain, backup!)
}

interface Beginning {
  flags: number
  checkpoint: CheckpointDef | undefined
  /** the checkpoint's bitmaps */
  marks: Action[]
  actions: Action[]
}

/** Has QEMU begin; a failure leaves nothing but the images. */
async function begin(domain: QemuDomain, def: BackupDef, given: Beginning): Promise<void> {
  const { flags, checkpoint, marks, actions } = given
  const { running, qmp } = domain
  const isOurs = checkpoint !== undefined && (await isUnmarked(domain, checkpoint))
  running.backup = { def, flags, begun: false, done: { current: 0, total: 0 } }
  if (isOurs) running.checkpoint = { creating: checkpoint.name }
  domain.save()
  const undo: (() => Promise<unknown>)[] = []
  try {
    if (def.mode === 'pull') {
      await startServer(domain, def)
      undo.push(() => stopServer(domain, def))
    }
    await qmp.execute('transaction', { actions })
    for (const disk of storedDisks(def)) {
      disk.state = 'running'
      undo.push(async () => {
        await runQemuJob(domain, jobName(domain, disk), undefined, AbortSignal.abort())
        await forgetChanges(domain, def, disk)
      })
    }
    if (checkpoint) {
      await keepOrUndo(domain, checkpoint, marks)
      undo.push(async () => {
        try {
          await qmp.execute('transaction', { actions: undoing(marks) })
        } finally {
          checkpointsOf(domain).delete(checkpoint)
        }
      })
    }
    if (def.mode === 'pull') await exportDisks(domain, storedDisks(def))
  } catch (error) {
    const left = (err: unknown) => domain.log.warn({ err }, 'a backup that did not begin has left something')
    const isFound = await isFoundAgain(domain, error)
    const back = isFound ? [() => takeBack(domain, def), () => settleCheckpoint(domain)] : undo
    for (const one of back) await one().catch(left)
    if (domain.run) domain.run.backup = domain.run.checkpoint = undefined
    domain.changed()
    throw error
  }
}
