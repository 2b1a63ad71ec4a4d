// Taking of a snapshot (qemuSnapshotCreateXML).

import {
  virDomainEventSuspendedDetailType,
  virDomainEventType,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainShutoffReason,
  virDomainSnapshotCreateFlags
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { parseSnapshot, type SnapshotDef } from '../../../conf/moment/snapshot.ts'
import { formatSaveCookieDocument } from '../../../conf/save-cookie.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import type { MomentChange } from '../../../state/moments.ts'
import { exclusive, requires } from '../../method.ts'
import { freezeFilesystems, thawFilesystems } from '../agent/filesystems.ts'
import { type BlockNodes, queryBlockNodes } from '../block/bitmaps.ts'
import { standsOn } from '../blockjob/top-node.ts'
import { formatMigratable } from '../definition/migratable.ts'
import { completeDomain } from '../definition/passes.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Run } from '../domain/run.ts'
import { checkMigratable } from '../migration/allowed.ts'
import { QmpError } from '../monitor/qmp.ts'
import { startCpus, stopCpus } from '../process/cpus.ts'
import { endJournal, readJournal, type Steps, settle, writeJournal } from '../process/journal.ts'
import { dropMemoryFile } from '../process/memory-file.ts'
import { untilHeard } from '../process/monitor.ts'
import { stopDomain } from '../process/stop.ts'
import { saveCookie, writeImage } from '../save/save.ts'
import {
  addOverlays,
  discardOverlays,
  externals,
  freshFiles,
  type LiveOverlay,
  makeOverlays,
  standOn,
  withOverlays,
  withPersistentOverlays
} from './external.ts'
import { deleteLive, deleteOffline, isTaken, planOffline, saveLive } from './internal.ts'
import {
  alignSnapshot,
  checkSnapshot,
  persistentText,
  prepareRedefined,
  prepareSnapshot,
  type SnapshotWays,
  snapshotStateOf
} from './prepare.ts'
import { settleLeft } from './recover.ts'
import { type SnapshotTree, snapshotsOf } from './tree.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const FLAGS = virDomainSnapshotCreateFlags
const {
  VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY,
  VIR_DOMAIN_SNAPSHOT_CREATE_LIVE,
  VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE,
  VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
} = FLAGS

interface Asked extends SnapshotWays {
  redefine: boolean
  current: boolean
  halt: boolean
  quiesce: boolean
}

function askedBy(bits: number): Asked {
  const has = (flag: keyof typeof FLAGS) => (bits & FLAGS[flag]) !== 0
  return {
    redefine: has('VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE'),
    current: has('VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT'),
    metadata: !has('VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA'),
    halt: has('VIR_DOMAIN_SNAPSHOT_CREATE_HALT'),
    diskOnly: has('VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY'),
    reuse: has('VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT'),
    quiesce: has('VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE'),
    live: has('VIR_DOMAIN_SNAPSHOT_CREATE_LIVE')
  }
}

/** Takes a snapshot, or makes one known again. @param bits virDomainSnapshotCreateFlags @throws see api/snapshot.ts */
export async function createSnapshot(
  domain: QemuDomain,
  job: AsyncJob,
  xml: string,
  bits: number
): Promise<SnapshotDef> {
  const asked = askedBy(bits)
  const { redefine, diskOnly, halt } = asked
  requires(bits, { VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE, VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY }, 'VIR_FROM_QEMU')
  exclusive(bits, { VIR_DOMAIN_SNAPSHOT_CREATE_LIVE, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE }, 'VIR_FROM_QEMU')
  if (halt && !domain.isPersistent) {
    throw fail('VIR_ERR_OPERATION_INVALID', 'cannot halt after transient domain snapshot')
  }
  const def = parseSnapshot(xml, {
    redefine,
    offline: diskOnly || !domain.isActive,
    validate: (bits & FLAGS.VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE) !== 0,
    complete: dom => completeDomain(dom, domain.context, { isNew: false })
  })
  checkSnapshot(def, asked, domain, redefine ? def.state : snapshotStateOf(domain), redefine)
  await settleLeft(domain)
  if (redefine) redefineSnapshot(domain, def, asked)
  else await takeSnapshot(domain, job, def, asked)
  domain.settled()
  return def
}

/** Makes known a snapshot that is there already (qemuSnapshotRedefine). */
function redefineSnapshot(domain: QemuDomain, def: SnapshotDef, asked: Asked): void {
  const tree = snapshotsOf(domain)
  prepareRedefined(tree, def, domain, asked)
  const former = asked.current ? withoutRevertDisks(tree.current) : undefined
  tree.apply({
    put: [...(former && former.name !== def.name ? [former] : []), def],
    ...(asked.current && { current: def })
  })
}

/** The current snapshot once the guest goes on elsewhere: images made by going back to it are its no more. */
function withoutRevertDisks(def: SnapshotDef | undefined): SnapshotDef | undefined {
  if (!def?.revertDisks) return undefined
  const { revertDisks, ...kept } = def
  return kept
}

/** How a snapshot is taken: by whom, and what becomes of definitions. */
interface Taking {
  domain: QemuDomain
  job: AsyncJob
  def: SnapshotDef
  asked: Asked
  tree: SnapshotTree
}

async function takeSnapshot(domain: QemuDomain, job: AsyncJob, def: SnapshotDef, asked: Asked): Promise<void> {
  alignSnapshot(domain, def, asked)
  const { external, manual } = prepareSnapshot(domain, def, asked)
  const tree = snapshotsOf(domain)
  if (asked.metadata) {
    tree.checkNew(def)
    if (tree.current) def.parentName = tree.current.name
  }
  const taking = { domain, job, def, asked, tree }
  if (!domain.isActive) return external ? takeOfflineExternal(taking) : takeOfflineInternal(taking)
  if (asked.diskOnly || def.memory === 'external') await takeLiveExternal(taking, manual)
  else await takeLiveInternal(taking)
}

/** The change of the tree that makes it the current snapshot; none without metadata. */
function changeOf({ tree, def, asked: { metadata } }: Taking): MomentChange<SnapshotDef> {
  if (!metadata) return {}
  const former = withoutRevertDisks(tree.current)
  return { put: [...(former ? [former] : []), def], current: def }
}

async function takeOfflineInternal(taking: Taking): Promise<void> {
  const { domain, def, tree } = taking
  const { root } = domain
  const { undo: images, create } = await planOffline(def, domain.def)
  const undo: Steps = { images }
  writeJournal(root, { undo })
  try {
    await create()
    const change = changeOf(taking)
    writeJournal(root, { undo, redo: { snapshots: tree.filesOf(change) } })
    tree.apply(change)
  } catch (error) {
    await settle(root, { undo: { ...undo, snapshots: tree.undoOf(changeOf(taking)) } }, false)
    throw error
  }
  endJournal(root)
}

async function takeOfflineExternal(taking: Taking): Promise<void> {
  const { domain, def, tree, asked } = taking
  const { root } = domain
  const disks = externals(def.disks, domain.def)
  const overlays = disks.map(([{ name, source }]) => ({ name, source }))
  const undo: Steps = { files: asked.reuse ? [] : freshFiles(overlays) }
  const former = domain.def
  const changed = withOverlays(former, overlays, { onto: asked.reuse ? 'no' : 'known' })
  const change = changeOf(taking)
  writeJournal(root, { undo })
  try {
    if (!asked.reuse) {
      await makeOverlays(
        domain,
        disks.map(([, disk], i) => [disk, overlays[i]!])
      )
    }
    writeJournal(root, { undo, redo: { definition: persistentText(changed), snapshots: tree.filesOf(change) } })
    domain.change({ config: true, live: true }, () => changed)
    tree.apply(change)
  } catch (error) {
    if (domain.def !== former) domain.change({ config: true, live: true }, () => former)
    await settle(root, { undo: { ...undo, snapshots: tree.undoOf(change) } }, false)
    throw error
  }
  endJournal(root)
}

const { VIR_DOMAIN_PAUSED_SAVE, VIR_DOMAIN_PAUSED_SNAPSHOT } = virDomainPausedReason

async function takeLiveInternal(taking: Taking): Promise<void> {
  const { domain, job, def, tree } = taking
  const { root } = domain
  const change = changeOf(taking)
  const undo = { images: deleteOffline(def, domain.def) }
  // QEMU refuses a name that an image has already: that one is not ours to delete
  const isOurs = !(await isTaken(domain, def))
  await checkMigratable(domain)
  let paused = false
  let failure: unknown
  try {
    if (isOurs) writeJournal(root, { undo, saving: def.name })
    paused = domain.isRunning
    if (paused) await job.nested(() => stopCpus(domain, VIR_DOMAIN_PAUSED_SAVE))
    await saveLive(domain, def)
    def.cookie = saveCookie(domain)
    // its files are no concern of the guest's
    if (paused && !taking.asked.halt) await resume(domain).catch(error => (failure = error))
    paused = false
    writeJournal(root, { redo: { snapshots: tree.filesOf(change) } })
    tree.apply(change)
    endJournal(root)
  } catch (error) {
    const heard = await untilHeard(domain)
    if (heard === 'again' && isOurs) await deleteLive(domain, def.name).catch(() => undefined)
    const files = { snapshots: tree.undoOf(change) }
    if (heard !== 'never') {
      await settle(root, { undo: heard === 'again' || !isOurs ? files : { ...undo, ...files } }, false)
    }
    if (paused) await resume(domain).catch(() => undefined)
    throw error
  }
  if (taking.asked.halt) await halt(domain)
  if (failure !== undefined) throw failure
}

async function takeLiveExternal(taking: Taking, manual: boolean): Promise<void> {
  const { domain, job, def, asked } = taking
  const thaw = asked.quiesce && (await freeze(domain))
  const memory = def.memory === 'external'
  const { running: run } = domain
  let resumes = false
  try {
    if (domain.isRunning) {
      // disks the user sees to are to stay as they are until he resumes the guest
      resumes = memory && !manual
      if ((memory || manual) && !asked.live) await job.nested(() => stopCpus(domain, VIR_DOMAIN_PAUSED_SNAPSHOT))
    }
    // a migration hides bitmaps
    const nodes = await queryBlockNodes(domain.qmp)
    if (memory) await saveMemory(taking, resumes)
    await standOnOverlays(taking, nodes)
  } catch (error) {
    // a snapshot that may have come to be has it, as its journal says
    if (!readJournal(domain.root)) dropMemoryFile(domain, run)
    if (resumes) await resume(domain).catch(() => undefined)
    if (thaw) await thawed(domain, run).catch(() => undefined)
    throw error
  }
  if (asked.halt) return halt(domain)
  if (resumes) await resume(domain)
  if (thaw) await thawed(domain, run)
}

/** Freezes the guest's file systems. The next process must know, as it is to thaw them. @returns false where it has none */
async function freeze(domain: QemuDomain): Promise<boolean> {
  const { running: run } = domain
  run.frozen = true
  domain.save()
  try {
    run.frozen = (await freezeFilesystems(domain)) > 0
  } catch (error) {
    run.frozen = false
    throw error
  } finally {
    if (!run.frozen && domain.run === run) domain.save()
  }
  return run.frozen
}

async function thawed(domain: QemuDomain, run: Run): Promise<void> {
  try {
    await thawFilesystems(domain)
  } finally {
    run.frozen = false
    if (domain.run === run) domain.save()
  }
}

/** Writes the guest's memory into the file of the snapshot; its CPUs do not run then. */
async function saveMemory({ domain, job, def }: Taking, running: boolean): Promise<void> {
  await checkMigratable(domain)
  job.allow(['query', 'destroy', 'abort', 'suspend', 'migration-op'])
  const xml = formatMigratable(domain.def, domain.context, domain.run?.originalCpu)
  def.cookie = saveCookie(domain)
  const image = { running, format: 'raw', xml, cookie: formatSaveCookieDocument(def.cookie) } as const
  await writeImage(domain, job, image, { path: def.memoryFile!, compress: [], flags: 0 })
  job.allow([])
}

/** All disks go on in overlays at one moment, and the definitions say so. */
async function standOnOverlays(taking: Taking, nodes: BlockNodes): Promise<void> {
  const { domain, def, tree, asked } = taking
  const { root, newDef, def: former } = domain
  const overlays = await addOverlays(domain, externals(def.disks, former), { reuse: asked.reuse, nodes })
  const change = changeOf(taking)
  const persistent = newDef && withPersistentOverlays(newDef, former, overlays)
  let isDone: boolean | undefined = false
  try {
    writeJournal(root, {
      live: Object.fromEntries(overlays.map(({ name, image }) => [name, image.node])),
      redo: {
        ...(persistent && { definition: persistentText(persistent) }),
        snapshots: tree.filesOf(change)
      }
    })
    await standOn(domain, overlays).catch(async error => {
      isDone = isRefused(error) ? false : await standsByNow(domain, overlays)
      if (!isDone) throw error
    })
    isDone = true
    // the snapshot has it
    domain.running.memoryFile = undefined
    for (const { image } of overlays) image.keep()
    domain.change({ live: true, config: newDef !== undefined }, one =>
      one === former ? withOverlays(former, overlays) : (persistent ?? one)
    )
    tree.apply(change)
  } catch (error) {
    if (isDone) {
      // it is so even if it cannot be saved, which the journal has the next process do
      const { definitions } = domain
      if (domain.def === former) definitions.def = withOverlays(former, overlays)
      if (persistent) definitions.adopt(persistent, definitions.newContext)
    } else if (isDone === false) {
      endJournal(root)
      await discardOverlays(overlays)
    }
    throw error
  }
  endJournal(root)
}

/** QEMU has answered that it has not done it. */
const isRefused = (error: Error) => error.cause instanceof QmpError

/**
 * True where QEMU has done what it could not answer any more, by its word once it is heard again. With a QEMU that has ended
 * all is settled by then, as far as this process is to see to it. @returns undefined where nobody can tell: the journal stays
 */
async function standsByNow(domain: QemuDomain, overlays: readonly LiveOverlay[]): Promise<boolean | undefined> {
  const heard = await untilHeard(domain)
  if (heard === 'ended') return false
  const nodes = overlays.map(({ image }) => image.node)
  return heard === 'again' ? standsOn(domain, nodes).catch(() => undefined) : undefined
}

/** Lets the CPUs run again that were stopped for it. @throws as startCpus; the guest is paused then, and that is told */
async function resume(domain: QemuDomain): Promise<void> {
  if (!domain.isActive) return
  try {
    await startCpus(domain, virDomainRunningReason.VIR_DOMAIN_RUNNING_UNPAUSED)
  } catch (error) {
    if (domain.isActive && !domain.isRunning) domain.setPaused(virDomainPausedReason.VIR_DOMAIN_PAUSED_API_ERROR)
    domain.lifecycle(
      virDomainEventType.VIR_DOMAIN_EVENT_SUSPENDED,
      virDomainEventSuspendedDetailType.VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR
    )
    throw error
  }
}

const halt = (domain: QemuDomain) => stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT)
