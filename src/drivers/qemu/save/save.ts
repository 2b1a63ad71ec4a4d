// A guest's memory into a file, and the guest's end (qemuDomainSaveInternal).
//
//   paused ─► header, marked as not whole ─► memory ─► synced ─► phase `written` ─► marked as whole ─► QEMU is ended
//
// Until `written` is in status.json a shim that follows a killed one gives the save up: the file goes and the guest runs
// on. From then on it finishes it. So there is either the guest or its image.
import { closeSync } from 'node:fs'
import { dirname } from 'node:path'
import {
  virDomainEventSuspendedDetailType,
  virDomainEventType,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainSaveRestoreFlags,
  virDomainShutoffReason,
  virDomainState
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { formatSaveCookieDocument, type SaveCookie } from '../../../conf/save-cookie.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import { isAlive } from '../../../state/status.ts'
import { makePrivateDirectory } from '../../../state/store.ts'
import { formatMigratable } from '../definition/migratable.ts'
import { loadInstead } from '../definition/stability.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { checkMigratable } from '../migration/allowed.ts'
import { canMap, migrateToFile } from '../migration/stream.ts'
import { startCpus, stopCpus } from '../process/cpus.ts'
import { claimTarget, dropMemoryFile, WRITTEN } from '../process/memory-file.ts'
import { stopDomain } from '../process/stop.ts'
import {
  compressors,
  createFile,
  DIRECT_INTO,
  finishImage,
  formatImage,
  openDirect,
  SAVE_FORMATS,
  type SaveFormat,
  type SaveImage,
  writeAll
} from './image.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_DOMAIN_SAVE_BYPASS_CACHE, VIR_DOMAIN_SAVE_RUNNING, VIR_DOMAIN_SAVE_PAUSED } = virDomainSaveRestoreFlags
const { VIR_DOMAIN_PAUSED_API_ERROR, VIR_DOMAIN_PAUSED_SAVE } = virDomainPausedReason

export interface SaveOptions {
  path: string
  format?: SaveFormat | undefined
  /** virDomainSaveRestoreFlags */
  flags?: number
  /** the definition the image is to have, instead of the guest's */
  xml?: string | undefined
  /** threads that write memory at once; only of the format that is sparse */
  channels?: number | undefined
}

/** True for a guest that runs once it is restored. @param running it runs otherwise */
export function runsAfter(flags: number, running: boolean): boolean {
  if ((flags & VIR_DOMAIN_SAVE_RUNNING) !== 0) return true
  return running && (flags & VIR_DOMAIN_SAVE_PAUSED) === 0
}

/** @throws VIR_ERR_OPERATION_FAILED for a format that libvirt does not have */
export function formatOf(name: string | undefined): SaveFormat | undefined {
  const format = SAVE_FORMATS.find(known => known === name)
  if (name === undefined || format !== undefined) return format
  throw fail('VIR_ERR_OPERATION_FAILED', `Invalid image_format '${name}'`)
}

/** @throws VIR_ERR_OPERATION_UNSUPPORTED for memory at places of its own in a file, which QEMU before 9.0 cannot write */
async function checkFormat(domain: QemuDomain, format: SaveFormat): Promise<void> {
  if (format !== 'sparse' || (await canMap(domain))) return
  throw fail('VIR_ERR_OPERATION_UNSUPPORTED', `save image format ${format} is not supported by this QEMU binary`)
}

/** @throws VIR_ERR_INVALID_ARG (qemuMigrationParamsForSave) */
export function checkChannels(channels: number | undefined, format: SaveFormat): void {
  if (channels === undefined) return
  const wrong = (message: string) => fail('VIR_ERR_INVALID_ARG', message)
  if (format !== 'sparse') throw wrong("Parallel save is only supported with the 'sparse' save image format")
  if (channels < 1) throw wrong('number of parallel save channels cannot be less than 1')
}

/**
 * Saves the guest and ends it. When it fails, the guest is as it was and a file that was made is gone.
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for a guest or format its QEMU cannot save, VIR_ERR_OPERATION_ABORTED,
 *   VIR_ERR_OPERATION_FAILED, VIR_ERR_SYSTEM_ERROR
 */
export async function saveDomain(domain: QemuDomain, job: AsyncJob, options: SaveOptions): Promise<void> {
  const { path, format = 'raw', flags = 0, xml, channels } = options
  const compress = await compressors(format, 'save')
  await checkMigratable(domain)
  await checkFormat(domain, format)
  const wasRunning = domain.state === virDomainState.VIR_DOMAIN_RUNNING
  const { running: run } = domain
  let isWhole = false
  try {
    if (wasRunning) await job.nested(() => stopCpus(domain, VIR_DOMAIN_PAUSED_SAVE))
    const running = runsAfter(flags, wasRunning)
    const image = {
      running,
      format,
      xml: await imageXml(domain, xml),
      cookie: formatSaveCookieDocument(saveCookie(domain))
    }
    checkChannels(channels, format)
    await writeImage(domain, job, image, { path, compress, flags, channels })
    isWhole = true
    await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_SAVED)
  } catch (error) {
    // of a guest that is gone it is all there is
    if (isWhole && !(run.process && isAlive(run.process))) throw error
    dropMemoryFile(domain, run)
    if (wasRunning && domain.isActive) await resume(domain, job)
    throw error
  }
}

/** The definition the image has: migratable, with secrets. */
async function imageXml(domain: QemuDomain, xml: string | undefined): Promise<string> {
  const { def, context, running } = domain
  const { originalCpu } = running
  if (xml === undefined) return formatMigratable(def, context, originalCpu)
  return formatMigratable(await loadInstead(xml, { def, context, originalCpu }), context)
}

/** What a restore needs beside the definition (qemuDomainSaveCookieNew). */
export function saveCookie({ def }: QemuDomain): SaveCookie {
  const { cpu, devices } = def
  const isUpdated = cpu && (cpu.mode !== 'custom' || cpu.model)
  const slirpHelper = !devices.interfaces.some(({ type, backend }) => type === 'user' && backend?.type !== 'passt')
  return { ...(isUpdated && { cpu }), ...(slirpHelper && { slirpHelper }) }
}

interface Way {
  path: string
  compress: Awaited<ReturnType<typeof compressors>>
  flags: number
  channels?: number | undefined
}

/** Writes the image; it is whole, on disk and known to be so when this returns (qemuSaveImageCreate). */
export async function writeImage(domain: QemuDomain, job: AsyncJob, image: SaveImage, way: Way): Promise<void> {
  const { path, compress, flags, channels = 1 } = way
  const { running } = domain
  const bypassCache = (flags & VIR_DOMAIN_SAVE_BYPASS_CACHE) !== 0
  const claimed = await claimTarget(domain, path)
  const isMapped = image.format === 'sparse'
  let fd = -1
  let directFd: number | undefined
  try {
    fd = createFile(path, bypassCache, made => {
      running.memoryFile = { path, made }
      domain.save()
    })
    const header = formatImage(image)
    writeAll(fd, header, `failed to write header to domain save file '${path}'`)
    if (isMapped && bypassCache) directFd = openDirect(path, { write: true })
    const filters = [...compress, ...(bypassCache && !isMapped ? [DIRECT_INTO] : [])]
    const mapped = isMapped ? { offset: header.length, channels, directFd } : undefined
    await migrateToFile(domain, job, { fd, path, filters, mapped })
    job.phase = WRITTEN
    finishImage(path)
  } finally {
    if (fd >= 0) closeSync(fd)
    if (directFd !== undefined) closeSync(directFd)
    await claimed.release()
  }
}

/** Lets a guest run on that could not be saved; libvirt says when even that fails. */
async function resume(domain: QemuDomain, job: AsyncJob): Promise<void> {
  try {
    await job.nested(() => startCpus(domain, virDomainRunningReason.VIR_DOMAIN_RUNNING_SAVE_CANCELED))
  } catch (error) {
    domain.log.warn({ err: error }, 'the guest cannot be resumed after its save has failed')
    domain.setPaused(VIR_DOMAIN_PAUSED_API_ERROR)
    domain.lifecycle(
      virDomainEventType.VIR_DOMAIN_EVENT_SUSPENDED,
      virDomainEventSuspendedDetailType.VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR
    )
  }
}

/** Saves the guest where its next start looks for it. @throws VIR_ERR_OPERATION_INVALID for one that is not kept */
export async function managedSave(domain: QemuDomain, job: AsyncJob, options: Omit<SaveOptions, 'path' | 'format'>) {
  if (!domain.isPersistent) throw fail('VIR_ERR_OPERATION_INVALID', 'cannot do managed save for transient domain')
  const path = domain.root.managedSave
  makePrivateDirectory(dirname(path))
  await saveDomain(domain, job, { ...options, path })
}
