// Going back to a snapshot (qemuSnapshotRevert).
//
//   from            to a guest that is off           to one that runs, or is paused
//   shut off        images, definition               images, start from its memory, definition
//   running         stop, then the same              stop, then the same
//
// Images of an external snapshot are not written again: the guest goes on in new overlays on them, and those it had are
// gone with what was in them.
import { existsSync } from 'node:fs'
import type { DomainDef } from '../../../conf/domain-def.ts'
import {
  virDomainEventDefinedDetailType,
  virDomainEventStartedDetailType,
  virDomainEventSuspendedDetailType,
  virDomainEventType,
  virDomainJobOperation,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainShutoffReason,
  virDomainSnapshotRevertFlags
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import {
  alignSnapshotDisks,
  isExternalSnapshot,
  type SnapshotDef,
  type SnapshotDisk
} from '../../../conf/moment/snapshot.ts'
import { storagePath } from '../../../conf/storage/source.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import type { MomentChange } from '../../../state/moments.ts'
import { hasBlockJob } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { doImages, doSteps, endJournal, type Journal, settle, writeJournal } from '../process/journal.ts'
import { type Incoming, type StartOptions, startDomain } from '../process/start.ts'
import { stopDomain } from '../process/stop.ts'
import { forgetImage, goOnFrom, loadImage } from '../save/restore.ts'
import { externals, freshFiles, makeOverlays, type Overlay, withOverlays } from './external.ts'
import { loadLive, revertOffline } from './internal.ts'
import { copyOf, isOnline, isRegularFile, persistentText, prepareExternal } from './prepare.ts'
import { settleLeft } from './recover.ts'
import { findSnapshot, isNeeded, type SnapshotTree, snapshotsOf } from './tree.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const FLAGS = virDomainSnapshotRevertFlags

/** Takes the guest back. @param bits virDomainSnapshotRevertFlags @throws see api/snapshot.ts */
export async function revertToSnapshot(domain: QemuDomain, job: AsyncJob, name: string, bits: number): Promise<void> {
  if (hasBlockJob(domain)) throw fail('VIR_ERR_OPERATION_INVALID', 'domain has active block job')
  job.operation = virDomainJobOperation.VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_REVERT
  job.allow()
  await settleLeft(domain)
  const def = findSnapshot(domain, name)
  checkRevert(domain, def, bits)
  await revert({ domain, job, def, bits, tree: snapshotsOf(domain) })
  domain.settled()
}

/** @throws VIR_ERR_SNAPSHOT_REVERT_RISKY, VIR_ERR_OPERATION_INVALID and others (qemuSnapshotRevertValidate) */
function checkRevert(domain: QemuDomain, def: SnapshotDef, bits: number): void {
  const has = (flag: keyof typeof FLAGS) => (bits & FLAGS[flag]) !== 0
  const starts = has('VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING') || has('VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED')
  if (!domain.isPersistent && !isOnline(def) && !starts) {
    throw fail(
      'VIR_ERR_OPERATION_INVALID',
      'transient domain needs to request run or pause to revert to inactive snapshot'
    )
  }
  if (!def.dom) {
    throw fail('VIR_ERR_SNAPSHOT_REVERT_RISKY', `snapshot '${def.name}' lacks domain '${domain.name}' rollback info`)
  }
  if (!has('VIR_DOMAIN_SNAPSHOT_REVERT_FORCE') && existsSync(domain.root.managedSave) && !isOnline(def)) {
    throw fail(
      'VIR_ERR_SNAPSHOT_REVERT_RISKY',
      'snapshot without memory state, removal of existing managed saved state strongly recommended to avoid corruption'
    )
  }
  if (isExternalSnapshot(def)) {
    const other = def.dom.devices.disks.find(({ source }) => source.type !== 'file')
    if (other) {
      throw fail(
        'VIR_ERR_OPERATION_UNSUPPORTED',
        `source disk for '${other.target?.dev}' is not a regular file, reverting to snapshot is not supported`
      )
    }
  }
  if (def.state === 'pmsuspended') {
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', "qemu doesn't support reversion of snapshot taken in PMSUSPENDED state")
  }
  if (def.state === undefined || def.state === 'blocked') {
    throw fail(
      'VIR_ERR_INTERNAL_ERROR',
      `Invalid target domain state '${def.state ?? 'no state'}'. Refusing snapshot reversion`
    )
  }
}

interface Reverting {
  domain: QemuDomain
  job: AsyncJob
  def: SnapshotDef
  bits: number
  tree: SnapshotTree
}

/** Definitions of the guest as it was: the running one, if it ran, and the persistent one (qemuSnapshotRevertPrep). */
function definitionsOf(domain: QemuDomain, def: SnapshotDef): { config?: DomainDef; inactive: DomainDef } {
  const { name } = domain
  const copy = (dom: DomainDef) => ({ ...copyOf(domain, dom), name })
  const { dom, inactiveDom } = def
  if (inactiveDom) return { config: copy(dom!), inactive: copy(inactiveDom) }
  return isOnline(def) ? { config: copy(dom!), inactive: copy(dom!) } : { inactive: copy(dom!) }
}

/** The overlays the guest is to go on in, and the lists of disks that tell of them. */
interface NewOverlays {
  overlays: Overlay[]
  disks: SnapshotDef['disks']
}

/**
 * Chooses overlays on all disks of the guest as it was, named after the moment (qemuSnapshotRevertExternalPrepare).
 * Differs from libvirt: media that are only read get none, and two can be chosen in one second.
 */
function chooseOverlays(dom: DomainDef): NewOverlays {
  let creationTime = BigInt(Math.floor(Date.now() / 1000))
  const choose = () => {
    const chosen: SnapshotDef = { name: String(creationTime), creationTime, dom, disks: [] }
    alignSnapshotDisks(chosen, undefined, { fallback: 'external', uniformInternal: false, force: true, isRegularFile })
    chosen.disks.forEach((one, i) => {
      if (dom.devices.disks[i]!.readonly) Object.assign(one, { snapshot: 'no', source: { type: 'file' } })
    })
    return chosen.disks
  }
  const isTaken = ({ source }: SnapshotDisk) => existsSync(storagePath(source) ?? '')
  let disks = choose()
  for (; disks.some(isTaken); disks = choose()) creationTime++
  const pairs = externals(disks, dom)
  for (const [one, disk] of pairs) prepareExternal(one, disk, { isActive: false, reuse: false })
  return { overlays: pairs.map(([{ name, source }]) => ({ name, source })), disks }
}

async function revert(reverting: Reverting): Promise<void> {
  const { domain, job, def } = reverting
  const { config, inactive } = definitionsOf(domain, def)
  const chosen = isExternalSnapshot(def) ? chooseOverlays(config ?? inactive) : undefined
  // read before the guest is ended: an image that is no use leaves it as it is
  const memory = config && def.memoryFile !== undefined ? await loadImage(def.memoryFile, domain.contextFor) : undefined
  if (domain.isActive) {
    await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT)
    job.outliveGuest()
  }
  if (config && isOnline(def)) return revertOnline(reverting, { config, inactive, chosen, memory })
  return revertOfflineGuest(reverting, { inactive, chosen })
}

const onOverlays = (dom: DomainDef, chosen: NewOverlays | undefined, onto: 'yes' | 'known' = 'yes') =>
  chosen ? withOverlays(dom, chosen.overlays, { onto }) : dom

/** Makes the overlays of a guest that is shut off. */
async function makeChosen(domain: QemuDomain, dom: DomainDef, { overlays, disks }: NewOverlays): Promise<void> {
  const pairs = externals(disks, dom)
  await makeOverlays(
    domain,
    pairs.map(([, disk], i) => [disk, overlays[i]!])
  )
}

/** What the tree becomes, and the overlays that go (qemuSnapshotRevertExternalFinish). */
function treeAfter({ tree, def }: Reverting, chosen: NewOverlays | undefined) {
  const put = new Map<string, SnapshotDef>()
  const files: string[] = []
  if (chosen) {
    const { current } = tree
    if (current) {
      const { revertDisks, ...rest } = current
      files.push(...unused(tree, revertDisks ?? current.disks))
      if (revertDisks) put.set(current.name, rest)
    }
    const { disks } = chosen
    const { revertDisks: _, ...kept } = def
    const own = tree.childrenOf(def).length > 0 ? { revertDisks: disks } : { disks }
    put.set(def.name, { ...kept, ...own })
  }
  const current = put.get(def.name) ?? def
  return { change: { put: [...put.values()], current } satisfies MomentChange<SnapshotDef>, files }
}

/** Images of overlays that no snapshot needs: libvirt takes them away even where one does. */
const unused = (tree: SnapshotTree, disks: SnapshotDef['disks']): string[] =>
  disks
    .filter(({ snapshot, source }) => snapshot === 'external' && source.type === 'file')
    .flatMap(({ source }) => storagePath(source) ?? [])
    .filter(path => !isNeeded(tree, path))

/** The definition that is kept from now on is the one of then (the end of qemuSnapshotRevertWriteMetadata). */
function tellDefined(domain: QemuDomain): void {
  if (!domain.isPersistent) return
  domain.lifecycle(
    virDomainEventType.VIR_DOMAIN_EVENT_DEFINED,
    virDomainEventDefinedDetailType.VIR_DOMAIN_EVENT_DEFINED_FROM_SNAPSHOT
  )
}

const TOLD = {
  runningReason: virDomainRunningReason.VIR_DOMAIN_RUNNING_FROM_SNAPSHOT,
  pausedReason: virDomainPausedReason.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT,
  started: virDomainEventStartedDetailType.VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT,
  suspended: virDomainEventSuspendedDetailType.VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT
} satisfies Partial<Incoming>

interface Offline {
  inactive: DomainDef
  chosen: NewOverlays | undefined
}

interface Online extends Offline {
  config: DomainDef
  memory: Awaited<ReturnType<typeof loadImage>> | undefined
}

/** Options of the start; UEFI variables may be as new. */
const startOptions = ({ bits, def }: Reverting): StartOptions => ({
  paused:
    (bits & FLAGS.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED) !== 0 ||
    (def.state === 'paused' && (bits & FLAGS.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING) === 0),
  resetNvram: (bits & FLAGS.VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM) !== 0
})

/** Starts the guest from the memory it had (qemuSnapshotRevertActive). */
async function revertOnline(reverting: Reverting, { config, inactive, chosen, memory }: Online): Promise<void> {
  const { domain, job, def, tree } = reverting
  const { root } = domain
  const { change, files } = treeAfter(reverting, chosen)
  const live = onOverlays(config, chosen)
  const kept = onOverlays(inactive, chosen)
  const journal: Journal = {
    undo: { files: chosen ? freshFiles(chosen.overlays) : [] },
    redo: {
      definition: domain.isPersistent ? persistentText(kept) : undefined,
      snapshots: tree.filesOf(change),
      files
    },
    live: {}
  }
  // a guest that does not come to run is as it was; one that may have written is not
  writeJournal(root, { ...journal, ifGone: 'undo' })
  const start = startOptions(reverting)
  const told = { ...TOLD, loaded: () => writeJournal(root, journal) }
  try {
    if (chosen) await makeChosen(domain, config, chosen)
    if (memory) {
      const { context } = memory
      await goOnFrom(domain, job, { ...memory, def: live, context }, { ...start, told, suspended: TOLD.suspended })
    } else {
      domain.definitions.startFrom(live, domain.definitions.context)
      const incoming: Incoming = { ...told, from: 'file', inImages: true, load: started => loadLive(started, def) }
      await startDomain(domain, { ...start, incoming })
      forgetImage(domain)
    }
  } catch (error) {
    domain.definitions.join()
    await settle(root, journal, false)
    throw error
  }
  if (domain.isPersistent) domain.setPersistent(kept, domain.definitions.newContext)
  tree.apply(change)
  await doSteps(root, { files })
  endJournal(root)
  tellDefined(domain)
}

/** Brings the images back, and starts the guest anew where that is asked for (qemuSnapshotRevertInactive). */
async function revertOfflineGuest(reverting: Reverting, { inactive, chosen }: Offline): Promise<void> {
  const { domain, def, bits, tree } = reverting
  const { root, isPersistent } = domain
  const { change, files } = treeAfter(reverting, chosen)
  const kept = onOverlays(inactive, chosen, 'known')
  const undo = { files: chosen ? freshFiles(chosen.overlays) : [] }
  const redo = {
    images: chosen ? [] : revertOffline(def, def.dom!),
    definition: isPersistent ? persistentText(kept) : undefined,
    snapshots: tree.filesOf(change),
    files
  }
  writeJournal(root, { undo })
  try {
    if (chosen) await makeChosen(domain, inactive, chosen)
    writeJournal(root, { undo, redo })
    await doImages(root, { undo, redo })
  } catch (error) {
    await settle(root, { undo }, false)
    throw error
  }
  if (isPersistent) {
    domain.setPersistent(kept)
    domain.definitions.join()
  } else domain.definitions.def = kept
  tree.apply(change)
  await doSteps(root, { files })
  endJournal(root)
  const { started, suspended } = TOLD
  const starts = FLAGS.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING | FLAGS.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED
  if ((bits & starts) !== 0) await startDomain(domain, { ...startOptions(reverting), told: { started, suspended } })
  tellDefined(domain)
}
