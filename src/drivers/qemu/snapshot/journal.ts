// What is under way with a guest's snapshots, on disk before it is begun. A change of several files, and of QEMU, is then
// made wholly or not at all, whenever this process ends: the next one finishes it, or takes it back.
//
//     undo    what was made for a change that is not to be
//     redo    the steps of a change that is to be; each may be done again
//     live    QEMU makes the change, all at once: as long as it runs, what it has says which of the two
import { rmSync } from 'node:fs'
import { errorsFrom } from '../../../conf/error.ts'
import type { StorageFormat } from '../../../conf/storage/source.ts'
import { hostCommand } from '../../../host/command.ts'
import { journalOf, type MomentFiles, writeMomentFiles } from '../../../state/moments.ts'
import type { GuestRoot } from '../../../state/root.ts'
import { writeStatus } from '../../../state/status.ts'
import { readIfThere, removeSynced, writeAtomic } from '../../../state/store.ts'
import { numberOfNode } from '../block/node-names.ts'
import type { Log } from '../domain/domain.ts'
import type { Status } from '../domain/status.ts'

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

type Root = Pick<GuestRoot, 'snapshotDir' | 'definition' | 'status'>

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

/** What a former process has left of a guest. */
interface Left {
  /** its QEMU may still run */
  isRunning: boolean
  status: Status | undefined
  log: Log
}

/**
 * Finishes or takes back what a former process has left, before anything else is read. What QEMU decides is left to
 * recoverSnapshots where it runs; where it is gone, what it may have done is taken as done: nobody has written since.
 * @returns true where there was anything to do
 */
export async function settleJournal(root: Root, { isRunning, status, log }: Left): Promise<boolean> {
  const journal = readJournal(root)
  if (!journal || (isRunning && (journal.live ?? journal.saving ?? journal.deleting ?? journal.merging) !== undefined))
    return false
  const isDone = journal.redo !== undefined && journal.ifGone !== 'undo'
  if (isDone && status && journal.live) {
    // the guest may have written into its overlays: they do not go with what is left of the run, nor does the memory
    for (const node of Object.values(journal.live)) delete status.looseImages?.[numberOfNode(node)!]
    delete status.memoryFile
    writeStatus(root.status, status)
  }
  try {
    await settle(root, journal, isDone)
  } catch (error) {
    if (!isDone || !readJournal(root)?.redo?.images?.length) throw error
    log.error({ err: error }, 'what was being done to snapshots cannot be finished, and is taken back')
    await settle(root, journal, false)
  }
  return true
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
