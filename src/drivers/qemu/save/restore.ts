// A guest that goes on from its saved memory: from a file, or from the saved image that its start finds.
import { closeSync, existsSync } from 'node:fs'
import type { DomainDef } from '../../../conf/domain-def.ts'
import {
  virDomainEventStartedDetailType,
  virDomainEventSuspendedDetailType,
  virDomainJobOperation,
  virDomainRunningReason,
  virDomainSaveRestoreFlags
} from '../../../conf/enums.ts'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { randomUUID } from '../../../conf/random.ts'
import { parseSaveCookieDocument } from '../../../conf/save-cookie.ts'
import { type Filtered, filterOutOf } from '../../../host/filter.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import { removeSynced } from '../../../state/store.ts'
import { type GuestHandle, handleOf, type RestoreOptions } from '../../connection.ts'
import { checkCreatable } from '../../known-guest.ts'
import type { QemuContext } from '../context.ts'
import { takeMadeCpu } from '../cpu/live.ts'
import { type ContextFor, loadDomain } from '../definition/passes.ts'
import { loadUpdated } from '../definition/stability.ts'
import { checkOwn } from '../domain/define.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { migrateIn } from '../migration/stream.ts'
import { callHook } from '../process/hooks.ts'
import { type Incoming, type StartOptions, startDomain } from '../process/start.ts'
import { isCorrupt, memoryOffset, openDirect, openFile, openMemory, type ReadImage, readImageFile } from './image.ts'
import { checkChannels, runsAfter } from './save.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_DOMAIN_SAVE_BYPASS_CACHE, VIR_DOMAIN_SAVE_RESET_NVRAM } = virDomainSaveRestoreFlags

/** An image and the definition in it. */
interface Loaded {
  path: string
  image: ReadImage
  def: DomainDef
  context: QemuContext
  /** threads that read memory at once */
  channels?: number | undefined
  /** scripts have changed the definition */
  byHook?: boolean
}

/**
 * Reads an image and the definition in it, which was checked when it was saved (qemuSaveImageGetMetadata).
 * @throws VIR_ERR_SYSTEM_ERROR, VIR_ERR_OPERATION_FAILED for what is no whole image, and as loadDomain
 */
export async function loadImage(path: string, contextFor: ContextFor): Promise<Loaded> {
  const image = readImageFile(path)
  return { path, image, ...(await loadDomain(image.xml, contextFor, { check: false, abiUpdate: false })) }
}

/**
 * Starts the guest from an image; after that run it has the definition it keeps, if it keeps one.
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for another guest's, VIR_ERR_OPERATION_INVALID for one that runs
 */
export async function restoreFrom(domain: QemuDomain, api: string, options: RestoreOptions): Promise<GuestHandle> {
  const { flags = 0, xml } = options
  const saved = await loadForRestore(options, domain.contextFor)
  checkOwn(domain, saved.def)
  const loaded = await withUpdated(domain, saved, xml)
  return domain.jobs.run({ async: 'start' }, { api, flags }, async job => {
    checkCreatable({ name: domain.name, id: domain.id, persistent: domain.isPersistent })
    await goOnFrom(domain, job, loaded, howToGoOn(loaded.image, flags))
    return handleOf(domain)
  })
}

/** @param flags virDomainSaveRestoreFlags */
const howToGoOn = ({ running }: ReadImage, flags: number): GoOn => ({
  paused: !runsAfter(flags, running),
  bypassCache: (flags & VIR_DOMAIN_SAVE_BYPASS_CACHE) !== 0,
  resetNvram: (flags & VIR_DOMAIN_SAVE_RESET_NVRAM) !== 0
})

/** Reads what a restore is to begin from (the first half of qemuDomainRestoreInternal). */
async function loadForRestore({ path, channels }: RestoreOptions, contextFor: ContextFor): Promise<Loaded> {
  const loaded = await loadImage(path, contextFor)
  checkChannels(channels, loaded.image.format)
  return { ...loaded, channels }
}

/**
 * Gives the guest another definition than its image has: the one it is to have, as scripts have changed it.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for one its memory does not fit, VIR_ERR_HOOK_SCRIPT_FAILED, and as loadDomain
 */
async function withUpdated(domain: QemuDomain, loaded: Loaded, xml?: string): Promise<Loaded> {
  const given = xml ?? loaded.image.xml
  // a restore of one that runs comes to nothing
  const made = domain.run ? undefined : await callHook(domain, 'restore', given)
  // a script that has nothing to say keeps silent
  const byHook = made !== undefined && made.trimEnd() !== given.trimEnd()
  const wanted = byHook ? made : xml
  if (wanted === undefined) return loaded
  return { ...loaded, byHook, ...(await loadUpdated(loaded.def, wanted, domain.contextFor)) }
}

/** How a guest goes on; whoever asks for it may want it paused. */
interface GoOn extends Omit<StartOptions, 'told'> {
  managed?: boolean
  bypassCache?: boolean
  /** virDomainEventSuspendedDetailType */
  suspended?: number
  /** what is told of a guest that goes on from a snapshot */
  told?: Pick<Incoming, 'runningReason' | 'pausedReason' | 'started' | 'loaded'>
}

/** Starts the guest from an image's memory and definition (qemuSaveImageStartVM). */
export async function goOnFrom(domain: QemuDomain, job: AsyncJob, loaded: Loaded, options: GoOn): Promise<void> {
  const { def, context, image, byHook } = loaded
  const { VIR_DOMAIN_EVENT_SUSPENDED_RESTORED } = virDomainEventSuspendedDetailType
  const {
    bypassCache = false,
    managed = false,
    suspended = VIR_DOMAIN_EVENT_SUSPENDED_RESTORED,
    told,
    ...start
  } = options
  if (!told) job.operation = virDomainJobOperation.VIR_DOMAIN_JOB_OPERATION_RESTORE
  const from = managed ? 'managed save' : 'file'
  const { cookie } = image
  const originalCpu = takeMadeCpu(def, cookie === undefined ? undefined : parseSaveCookieDocument(cookie).cpu)
  const memory = await openImage(domain, loaded, bypassCache)
  try {
    if (def.genid !== undefined) def.genid = randomUUID()
    domain.definitions.startFrom(def, context)
    const incoming: Incoming = {
      from,
      ...(memory.fd !== undefined && { fd: memory.fd }),
      originalCpu,
      ...(byHook && { byHook }),
      load: (started, number) => memory.load(started, job, number),
      runningReason: virDomainRunningReason.VIR_DOMAIN_RUNNING_RESTORED,
      started: virDomainEventStartedDetailType.VIR_DOMAIN_EVENT_STARTED_RESTORED,
      suspended,
      ...told
    }
    await startDomain(domain, { ...start, incoming })
  } catch (error) {
    memory.stop()
    throw error
  } finally {
    memory.close()
  }
  // whatever has become of it since
  forgetImage(domain, from)
}

/** The memory in an image that is open. */
interface OpenMemory {
  /** what QEMU inherits and reads, which becomes the start's; absent: it is handed the file */
  fd?: number
  /** has QEMU read it. @param number of the descriptor in QEMU */
  load(domain: QemuDomain, job: AsyncJob, number: number | undefined): Promise<void>
  /** nobody reads it any more */
  stop(): void
  close(): void
}

/** @throws VIR_ERR_SYSTEM_ERROR */
const openImage = async (domain: QemuDomain, loaded: Loaded, bypassCache: boolean): Promise<OpenMemory> =>
  loaded.image.format === 'sparse' ? openMapped(loaded, bypassCache) : openStream(domain, loaded, bypassCache)

/** Memory that is read from one end to the other. */
async function openStream(domain: QemuDomain, { path, image }: Loaded, bypassCache: boolean): Promise<OpenMemory> {
  const { fd: file, filters } = openMemory(path, image, bypassCache)
  const filtered = await filterOutOf(filters, { file, directory: domain.root.dir }).finally(() => {
    if (filters.length > 0) closeSync(file)
  })
  return {
    fd: filtered.fd,
    async load(started, job, number) {
      await migrateIn(started, job, { number: number! })
      // they are the ones to find that the image is damaged
      await endOf(filtered)
    },
    stop: filtered.stop,
    close: () => undefined
  }
}

/** Memory of which each page has its place in the file. */
function openMapped({ path, image, channels = 1 }: Loaded, bypassCache: boolean): OpenMemory {
  const fd = openFile(path, { bypassCache })
  const directFd = bypassCache ? openDirect(path) : undefined
  const mapped = { offset: memoryOffset(image), channels, directFd }
  return {
    load: (started, job) => migrateIn(started, job, { fd, mapped }),
    stop: () => undefined,
    close() {
      for (const one of [fd, directFd]) if (one !== undefined) closeSync(one)
    }
  }
}

/** Time programs may take to end once QEMU has read all. */
const FILTER_END_MS = 60_000

/** @throws VIR_ERR_INTERNAL_ERROR for a program that failed, or has more than there should be */
async function endOf({ finished, stop }: Filtered): Promise<void> {
  const timer = setTimeout(stop, FILTER_END_MS)
  await finished.finally(() => clearTimeout(timer))
}

/**
 * Starts the guest of this process from an image: its definition is the image's, or `xml`.
 * @throws as restoreFrom
 */
export async function startFrom(
  domain: QemuDomain,
  job: AsyncJob,
  options: RestoreOptions & { start: StartOptions }
): Promise<void> {
  const { flags = 0, xml, start } = options
  const loaded = await withUpdated(domain, await loadForRestore(options, domain.contextFor), xml)
  const { told: _, ...rest } = start
  await goOnFrom(domain, job, loaded, { ...rest, ...howToGoOn(loaded.image, flags) })
}

/** Options of a start that goes on from the saved image, if there is one. */
export interface ManagedStart extends Omit<StartOptions, 'told'> {
  /** VIR_DOMAIN_START_BYPASS_CACHE */
  bypassCache?: boolean
  /** VIR_DOMAIN_START_FORCE_BOOT: the image goes, and the guest boots */
  forceBoot?: boolean
}

/**
 * Starts a guest that is kept: from its saved image where there is one, which goes once it runs. One that is not whole
 * goes at once, and the guest boots (qemuDomainObjStart).
 * @throws VIR_ERR_OPERATION_FAILED for another guest's image
 */
export async function startKept(domain: QemuDomain, job: AsyncJob, options: ManagedStart): Promise<void> {
  const { bypassCache, forceBoot, ...start } = options
  const path = domain.root.managedSave
  const saved = forceBoot ? remove(path, 'managed save') : await loadManaged(domain, path)
  if (!saved) return startDomain(domain, start)
  const loaded = await withUpdated(domain, saved)
  const { def } = loaded
  if (def.name !== domain.name || def.uuid !== domain.uuid) {
    throw fail(
      'VIR_ERR_OPERATION_FAILED',
      `cannot restore domain '${domain.name}' uuid ${domain.uuid} from a file which belongs to domain '${def.name}' uuid ${def.uuid}`
    )
  }
  const { VIR_DOMAIN_EVENT_SUSPENDED_PAUSED } = virDomainEventSuspendedDetailType
  await goOnFrom(domain, job, loaded, {
    ...start,
    bypassCache,
    paused: start.paused || !loaded.image.running,
    managed: true,
    ...(start.paused && { suspended: VIR_DOMAIN_EVENT_SUSPENDED_PAUSED })
  })
}

/** The saved image; undefined where there is none, or one that was no use and is gone. */
async function loadManaged(domain: QemuDomain, path: string): Promise<Loaded | undefined> {
  if (!existsSync(path)) return undefined
  try {
    return await loadImage(path, domain.contextFor)
  } catch (error) {
    if (!isCorrupt(path)) throw error
    domain.log.warn({ err: error, path }, 'the saved image is not whole, booting without it')
    return remove(path, 'corrupt')
  }
}

function remove(path: string, what: 'managed save' | 'corrupt'): undefined {
  try {
    removeSynced(path)
  } catch (error) {
    const words = what === 'corrupt' ? `cannot remove corrupt file: ${path}` : `cannot remove managed save file ${path}`
    throw systemError('VIR_FROM_QEMU', words, error)
  }
}

/** The guest runs, or has: of a saved image its disks are ahead, so that goes. @param from what it went on from */
export function forgetImage(domain: QemuDomain, from = domain.run?.goesOnFrom): void {
  const { run, root, log } = domain
  try {
    if (from === 'managed save') removeSynced(root.managedSave)
  } catch (error) {
    log.warn({ err: error }, 'the saved image cannot be removed')
  }
  if (run) run.goesOnFrom = undefined
  domain.changed()
}
