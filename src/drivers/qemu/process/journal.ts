// What is under way with a guest's snapshots, on disk before it is begun. A change of several files, and of QEMU, is then
// made wholly or not at all, whenever this process ends: the next one finishes it, or takes it back.
//
//     undo    what was made for a change that is not to be
//     redo    the steps of a change that is to be; each may be done again
//     live    QEMU makes the change, all at once: as long as it runs, what it has says which of the two
import { rmSync } from 'node:fs'
import { errorsFrom } from '../../../conf/error.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { type StorageFormat, storagePath } from '../../../conf/storage/source.ts'
import { hostCommand } from '../../../host/command.ts'
import { journalOf, type MomentFiles, writeMomentFiles } from '../../../state/moments.ts'
import type { GuestRoot } from '../../../state/root.ts'
import { readIfThere, removeSynced, writeAtomic } from '../../../state/store.ts'
import { numberOfNode } from '../block/node-names.ts'
import { loadDomain } from '../definition/passes.ts'
import type { Log, QemuDomain } from '../domain/domain.ts'
import type { Run } from '../domain/run.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A run of qemu-img; one that may fail has nothing to do any more, or never had. */
export interface ImageStep {
  args: string[]
  mayFail?: true
}

export interface Steps {
  images?: ImageStep[]
  /** the persistent definition from now on */
  definition?: string | undefined
  /** files of snapshots */
  snapshots?: MomentFiles
  /** files that go, last */
  files?: string[]
}

/** Of images on this host, which is what snapshots are deleted of; others must be deleted again. */
export interface MergedImage {
  type: 'file' | 'block'
  path: string
  format?: StorageFormat
}

export interface Merging {
  /** the snapshot that goes */
  name: string
  disks: { name: string; overlay: MergedImage; base: MergedImage }[]
}

export interface Journal {
  undo?: Steps
  redo?: Steps
  /** targets of disks and the nodes they are to have, by which QEMU's change is known */
  live?: Record<string, string>
  /** what counts once QEMU is gone; absent: redo, where there is any */
  ifGone?: 'undo'
  /** QEMU merges the overlays of a snapshot; as the jobs are known, this goes on by itself */
  merging?: Merging
  /** QEMU saves an internal snapshot of this name */
  saving?: string
  /** QEMU deletes the internal snapshot of this name from its images */
  deleting?: string
}

type Root = Pick<GuestRoot, 'snapshotDir' | 'definition'>

/** What a former process has left undone. */
export function readJournal(root: Root): Journal | undefined {
  const text = readIfThere(journalOf(root))
  return text === undefined ? undefined : (JSON.parse(text) as Journal)
}

/** Says what is going to be done; synced. @throws VIR_ERR_SYSTEM_ERROR */
export function writeJournal(root: Root, journal: Journal): void {
  writeAtomic(journalOf(root), JSON.stringify(journal))
}

/** It is done, or was taken back. */
export function endJournal(root: Root): void {
  removeSynced(journalOf(root))
}

/** Does the steps of one side, once more where they have been done; images before all else. @throws VIR_ERR_INTERNAL_ERROR with qemu-img's words */
export async function doSteps(root: Root, { images = [], definition, snapshots, files = [] }: Steps): Promise<void> {
  for (const { args, mayFail } of images) {
    const run = qemuImg(args)
    await (mayFail ? run.catch(() => undefined) : run)
  }
  if (definition !== undefined) writeAtomic(root.definition, definition)
  if (snapshots) writeMomentFiles(root.snapshotDir, snapshots)
  for (const file of files) rmSync(file, { force: true })
}

/** Time and output of qemu-img are bounded by the image it works on. */
const NO_LIMITS = { timeoutMs: 0, outputBytes: 1024 ** 2 }

/** Runs qemu-img. @throws VIR_ERR_INTERNAL_ERROR (virCommandRun) */
export async function qemuImg(args: readonly string[]): Promise<void> {
  await hostCommand('qemu-img', args, NO_LIMITS).catch((error: Error & { how: string }) => {
    const line = ['qemu-img', ...args].join(' ')
    const { message, how } = error
    throw fail('VIR_ERR_INTERNAL_ERROR', `Child process (${line}) unexpected ${how}: ${message}`, error)
  })
}

/** QEMU makes the change, or was making it when it ended. */
export const isWithQemu = ({ live, saving, deleting, merging }: Journal): boolean =>
  (live ?? saving ?? deleting ?? merging) !== undefined

/** What counts where nobody can tell any more: what QEMU may have done is taken as done, as nobody has written since. */
const isToBe = ({ redo, ifGone }: Journal): boolean => redo !== undefined && ifGone !== 'undo'

/**
 * Finishes or takes back what was under way when nobody is busy with it any more, QEMU neither.
 * @returns true where there was anything to do @throws as settle
 */
export async function settleJournal(root: Root, log: Log): Promise<boolean> {
  const journal = readJournal(root)
  if (!journal) return false
  const isDone = isToBe(journal)
  try {
    await settle(root, journal, isDone)
  } catch (error) {
    if (!isDone || !readJournal(root)?.redo?.images?.length) throw error
    log.error({ err: error }, 'what was being done to snapshots cannot be finished, and is taken back')
    await settle(root, journal, false)
  }
  return true
}

/**
 * The same as QEMU has ended, whoever notices it, for what only QEMU knew. Overlays the guest may have written to are no
 * loose images then: they do not go with its run.
 */
export async function settleWithRun(domain: QemuDomain, run: Run): Promise<void> {
  const { root, log, jobs } = domain
  const journal = readJournal(root)
  if (!journal || !isWithQemu(journal)) return
  const nodes = Object.values(journal.live ?? {})
  if (journal.merging) {
    await settle(root, journal, isMerged(domain, journal.merging))
    return readAgain(domain)
  }
  // a start of this process's that has failed is taken back by who began it
  if (journal.live && nodes.length === 0 && jobs.async?.isRestored === false) return
  if (isToBe(journal)) {
    for (const node of nodes) run.looseImages.delete(numberOfNode(node)!)
    // the snapshot has it
    if (nodes.length > 0) run.memoryFile = undefined
    domain.save()
  }
  await settleJournal(root, log)
  await readAgain(domain)
}

/** True where the guest is going to start from what all overlays were merged into. */
function isMerged({ newDef }: QemuDomain, { disks }: Merging): boolean {
  if (!newDef || disks.length === 0) return false
  return disks.every(({ name, overlay }) => {
    const disk = newDef.devices.disks.find(({ target }) => target?.dev === name)
    return disk !== undefined && !storageChain(disk.source).some(image => storagePath(image) === overlay.path)
  })
}

/** Has this process know of definition and snapshots what their files say. @throws as loadDomain */
export async function readAgain({ root, moments, definitions, contextFor }: QemuDomain): Promise<void> {
  moments.snapshots.readAgain()
  const kept = readIfThere(root.definition)
  if (kept === undefined) return
  const { def, context } = await loadDomain(kept, contextFor, { abiUpdate: false, check: false })
  definitions.adopt(def, context)
}

/** Ends a change one way or the other. @throws as doSteps */
export async function settle(root: Root, { undo = {}, redo = {} }: Journal, isDone: boolean): Promise<void> {
  if (isDone) {
    await doImages(root, { undo, redo })
    await doSteps(root, { ...redo, images: [] })
  } else {
    // what is half taken back must not be finished by the next process
    if (readJournal(root)?.redo) writeJournal(root, { undo })
    await doSteps(root, undo)
  }
  endJournal(root)
}

/** Does what a change does to images, for good: what they were made of may go then. @throws VIR_ERR_INTERNAL_ERROR */
export async function doImages(root: Root, { undo = {}, redo = {} }: Journal): Promise<void> {
  const { images, ...rest } = redo
  if (!images?.length) return
  await doSteps(root, { images })
  writeJournal(root, { undo, redo: rest })
}
