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
import { readIfThere, removeSynced, writeAtomic } from '../../../state/store.ts'

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

/** Does the steps of one side, once more where they have been done. @throws VIR_ERR_INTERNAL_ERROR with qemu-img's words */
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

/**
 * Finishes or takes back what a former process has left, before anything else is read. What QEMU decides is left to
 * recoverSnapshots where it runs; where it is gone, what it may have done is taken as done: nobody has written since.
 * @param isRunning its QEMU may still run
 * @returns true where there was anything to do
 */
export async function settleJournal(root: Root, isRunning: boolean): Promise<boolean> {
  const journal = readJournal(root)
  if (!journal || (isRunning && (journal.live ?? journal.saving ?? journal.merging) !== undefined)) return false
  await settle(root, journal, journal.redo !== undefined && journal.ifGone !== 'undo')
  return true
}

/** Ends a change one way or the other. */
export async function settle(root: Root, { undo = {}, redo = {} }: Journal, isDone: boolean): Promise<void> {
  await doSteps(root, isDone ? redo : undo)
  endJournal(root)
}
