// What QEMU may open of the host: the one place that is told when it gets a file, and when it has none of it any more. A
// QEMU that runs as a user of its own is given each, and each goes back to whom it belonged (qemu_security.c).
import { closeSync, existsSync, openSync, statSync } from 'node:fs'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { changeOver, fileToGive, type GivenFile, OwnerChange, type OwnerRequest } from '../../../host/dac.ts'
import { parseOwnerLabel } from '../../../host/ids.ts'
import type { OwnerIds } from '../../../host/owner.ts'
import { sharedFileSystem } from '../../../host/shared-file-system.ts'
import type { Log, QemuDomain } from '../domain/domain.ts'
import type { Ownership, Run } from '../domain/run.ts'
import type { Status } from '../domain/status.ts'
import type { PathAccess } from './access-paths.ts'
import { usedPaths } from './access-used.ts'
import { admitToView, dismissFromView } from './view.ts'

const READ = 4
const WRITE = 6

/**
 * Lets QEMU open files of the host: all of them or none.
 * @throws VIR_ERR_OPERATION_INVALID for one that is another guest's at the moment, VIR_ERR_SYSTEM_ERROR
 */
export async function admit(domain: QemuDomain, wanted: readonly PathAccess[]): Promise<void> {
  const { ownership } = domain.running
  if (ownership && isRelabelled(domain.def)) await inTurn(ownership, () => give(domain, ownership, wanted))
  await admitToView(
    domain,
    wanted.map(({ path }) => path)
  )
}

/**
 * Takes from QEMU what it has closed: a device, an image, but for what the guest still has otherwise. The definition has it
 * no more. What cannot be taken back is logged.
 */
export async function dismissUnused(domain: QemuDomain, had: readonly PathAccess[]): Promise<void> {
  if (had.length === 0 || !domain.isActive) return
  const used = usedPaths(domain)
  const paths = had.map(({ path }) => path).filter(path => !used.has(path))
  if (paths.length > 0) await dismiss(domain, paths)
}

/** Takes from QEMU what a process before this one did not live to take. */
export async function settleAccess(domain: QemuDomain): Promise<void> {
  const { ownership } = domain.run ?? {}
  if (!ownership || !domain.isActive) return
  const used = usedPaths(domain)
  const paths = ownership.given.map(({ path }) => path).filter(path => !used.has(path))
  if (paths.length > 0) await dismiss(domain, paths)
}

/** Takes files from QEMU; of those that it was not given nothing becomes. What stays is logged. */
export async function dismiss(domain: QemuDomain, paths: readonly string[]): Promise<void> {
  await dismissFromView(domain, paths)
  const { ownership } = domain.run ?? {}
  if (ownership) await inTurn(ownership, () => takeBack(domain, ownership, one => paths.includes(one.path)))
}

/**
 * Takes back all that a run was given, by this process or one before it. What a guest that leaves shares with where it goes
 * is the other host's by now (virSecurityDACRestoreImageLabelInt).
 */
export async function dismissAll(domain: QemuDomain): Promise<void> {
  const { ownership, departure } = domain.run ?? {}
  if (departure && ownership) forget(ownership, ({ path }) => sharedFileSystem(path) !== undefined)
  if (ownership) await inTurn(ownership, () => takeBack(domain, ownership, () => true))
}

/** Takes back what a guest was given that was running when the host went down. */
export async function dismissAfterCrash({ bootId: boot, runId, ownership }: Status, log: Log): Promise<void> {
  if (!ownership || runId === undefined) return
  try {
    const { alone, given } = ownership
    const { left } = await new OwnerChange().tell({ boot, run: runId, alone, groups: [], give: [], back: given })
    for (const error of left) log.warn({ err: error }, 'a file is not given back')
  } catch (error) {
    log.warn({ err: error }, 'files are not given back')
  }
}

const isRelabelled = ({ seclabels }: DomainDef) => seclabels.find(({ model }) => model === 'dac')?.relabel !== false

/** One change at a time: each waits for those before it. */
function inTurn(ownership: Ownership, work: () => Promise<void>): Promise<void> {
  const done = ownership.turn.then(work)
  ownership.turn = done.catch(() => undefined)
  return done
}

/** The owner that a file is to have; undefined for one that is to be left as it is (virSecurityDACSetImageLabelInternal). */
function idsFor({ seclabels }: PathAccess, { uid, gid }: Ownership): (OwnerIds & { asked?: true }) | undefined {
  const label = seclabels?.find(({ model }) => model === 'dac')
  if (label?.relabel === false) return undefined
  return label?.label === undefined ? { uid, gid } : { ...parseOwnerLabel(label.label), asked: true }
}

async function give(domain: QemuDomain, ownership: Ownership, wanted: readonly PathAccess[]): Promise<void> {
  const files = wanted.flatMap(one => toGive(one, ownership))
  if (files.length === 0) return
  const change = begin(domain, ownership, () => ownership.given.push(...files))
  try {
    const { how } = await change.tell(request(domain.running, ownership, { give: files, back: [] }))
    for (const [i, file] of files.entries()) file.how = how[i]!
    forget(ownership, file => file.how === 'none')
  } catch (error) {
    forget(ownership, file => files.includes(file))
    throw error
  } finally {
    delete ownership.change
  }
}

/** A file as it is to be given, or nothing where QEMU has it or may have it anyway. */
function toGive(wanted: PathAccess, ownership: Ownership): GivenFile[] {
  const { path, own, write, absent } = wanted
  const ids = idsFor(wanted, ownership)
  if (!ids) return []
  if (absent === 'made') makeEmpty(path)
  if (absent === 'optional' && !existsSync(path)) return []
  const { asked, ...owner } = ids
  const file = fileToGive(path, owner, { own: own || asked === true, write })
  const isSame = (one: GivenFile) => one.dev === file.dev && one.ino === file.ino
  const has = ownership.given.some(one => isSame(one) && (one.own || (!file.own && (one.write || !file.write))))
  return has || (!file.own && isOpenToAll(path, file)) ? [] : [file]
}

/** QEMU makes none in a directory that is not its own. */
function makeEmpty(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch {
    // it is there, or what QEMU says of it is told
  }
}

/** A look that saves a process: what all may do, a user of its own may do too. */
function isOpenToAll(path: string, { write, uid, was }: GivenFile): boolean {
  const want = write ? WRITE : READ
  return was.uid !== uid && ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & want) === want
}

async function takeBack(domain: QemuDomain, ownership: Ownership, which: (file: GivenFile) => boolean): Promise<void> {
  await changeOver(ownership.change)
  // with those that are gone nothing is left to be done
  forget(ownership, file => which(file) && !existsSync(file.path))
  const back = ownership.given.filter(which)
  if (back.length === 0) return
  const change = begin(domain, ownership)
  try {
    const { left } = await change.tell(request(domain.running, ownership, { give: [], back }))
    for (const error of left) domain.log.warn({ err: error }, 'a file is not given back')
    forget(ownership, file => back.includes(file))
  } catch (error) {
    domain.log.warn({ err: error }, 'files are not given back')
  } finally {
    delete ownership.change
  }
}

/** The process that does it, and the note of what it is going to do: it is on disk before the process is told. */
function begin(domain: QemuDomain, ownership: Ownership, note?: () => void): OwnerChange {
  const change = new OwnerChange()
  if (change.identity) ownership.change = change.identity
  note?.()
  domain.save()
  return change
}

const request = (
  { id, owner }: Run,
  { alone }: Ownership,
  files: Pick<OwnerRequest, 'give' | 'back'>
): OwnerRequest => ({ run: id, alone, groups: owner.groups ?? [], ...files })

function forget(ownership: Ownership, which: (file: GivenFile) => boolean): void {
  ownership.given = ownership.given.filter(file => !which(file))
}
