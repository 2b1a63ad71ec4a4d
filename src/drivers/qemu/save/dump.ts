// A core dump of a guest: its memory alone as ELF or for crash(8), or memory and device state as QEMU migrates them
// (doCoreDump, qemuDomainCoreDumpWithFormat).
import { closeSync, fdatasync } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { virDomainCoreDumpFlags, virDomainCoreDumpFormat, virDomainPausedReason } from '../../../conf/enums.ts'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { filterInto } from '../../../host/filter.ts'
import { passableDescriptor } from '../../../host/pass-file.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import { syncDirectory } from '../../../state/store.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { checkMigratable } from '../migration/allowed.ts'
import { followMigration } from '../migration/progress.ts'
import { migrateToFile } from '../migration/stream.ts'
import { stopCpus } from '../process/cpus.ts'
import { dumpCompleted, endDump, followDump } from '../process/dump-job.ts'
import { claimTarget, dropMemoryFile, keepMemoryFile, WRITTEN } from '../process/memory-file.ts'
import { createFile, DIRECT_INTO } from './image.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_DUMP_BYPASS_CACHE, VIR_DUMP_LIVE, VIR_DUMP_MEMORY_ONLY } = virDomainCoreDumpFlags
const FORMAT = virDomainCoreDumpFormat

/** Name of the dump's descriptor in QEMU. */
const FD_NAME = 'dump'

/** QEMU's names (DumpGuestMemoryFormat); without one it writes ELF. */
const FORMATS: Record<number, string> = {
  [FORMAT.VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_ZLIB]: 'kdump-zlib',
  [FORMAT.VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_LZO]: 'kdump-lzo',
  [FORMAT.VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_SNAPPY]: 'kdump-snappy',
  [FORMAT.VIR_DOMAIN_CORE_DUMP_FORMAT_WIN_DMP]: 'win-dmp'
}

export interface DumpOptions {
  /** of a file, which is emptied where it is there, or of a device */
  path: string
  /** virDomainCoreDumpFlags */
  flags: number
  /** virDomainCoreDumpFormat; only of memory alone */
  format?: number
}

/**
 * Dumps the guest, which is paused meanwhile unless VIR_DUMP_LIVE, and ends, resets or resumes it.
 * @throws VIR_ERR_INVALID_ARG for a format that QEMU has not, VIR_ERR_OPERATION_UNSUPPORTED, VIR_ERR_OPERATION_INVALID for a
 *   guest that cannot be migrated, VIR_ERR_OPERATION_FAILED, VIR_ERR_OPERATION_ABORTED, VIR_ERR_SYSTEM_ERROR; a file that
 *   was made is gone then, and the guest goes on
 */
export async function coreDump(domain: QemuDomain, job: AsyncJob, options: DumpOptions): Promise<void> {
  const { flags } = options
  const resume = domain.isRunning
  let failed = true
  followMigration(domain, job)
  if (resume && (flags & VIR_DUMP_LIVE) === 0) {
    await job.nested(() => stopCpus(domain, virDomainPausedReason.VIR_DOMAIN_PAUSED_DUMP))
    if (!domain.isActive) throw fail('VIR_ERR_INTERNAL_ERROR', 'guest unexpectedly quit')
  }
  try {
    await writeDump(domain, job, options)
    failed = false
  } finally {
    await job.nested(() => endDump(domain, { flags, resume, failed }))
  }
}

/** Writes a dump, which is on disk when this returns; where it throws, a file that was made is gone (doCoreDump). */
export async function writeDump(
  domain: QemuDomain,
  job: AsyncJob,
  { path, flags, format }: DumpOptions
): Promise<void> {
  const { running: run } = domain
  const bypassCache = (flags & VIR_DUMP_BYPASS_CACHE) !== 0
  const filters = bypassCache ? [DIRECT_INTO] : []
  const claimed = await claimTarget(domain, path)
  try {
    const fd = createFile(path, bypassCache, made => {
      run.memoryFile = { path, made }
      domain.save()
    })
    try {
      if ((flags & VIR_DUMP_MEMORY_ONLY) !== 0) await writeMemory(domain, job, { path, fd, filters }, format)
      else {
        if (format) {
          const message = 'kdump-compressed format is only supported with memory-only dump'
          throw fail('VIR_ERR_OPERATION_UNSUPPORTED', message)
        }
        await checkMigratable(domain)
        await migrateToFile(domain, job, { path, fd, filters })
      }
    } finally {
      closeSync(fd)
    }
    if (run.memoryFile?.made) syncDirectory(dirname(path))
    job.phase = WRITTEN
    keepMemoryFile(domain)
  } catch (error) {
    dropMemoryFile(domain, run)
    throw error
  } finally {
    await claimed.release()
  }
}

type OpenFile = Parameters<typeof migrateToFile>[2]

/** Has QEMU write memory alone into an open file (qemuDumpToFd). */
async function writeMemory(domain: QemuDomain, job: AsyncJob, file: OpenFile, format = 0): Promise<void> {
  const { fd, path, filters = [] } = file
  followDump(domain, job)
  const name = FORMATS[format]
  if (name !== undefined) await job.nested(() => checkFormat(domain, name))
  const filtered = await filterInto(filters, { file: fd, directory: domain.root.dir })
  try {
    try {
      await job.nested(() => startDump(domain, filtered.fd, name))
    } finally {
      if (filtered.fd !== fd) closeSync(filtered.fd)
    }
    await dumpCompleted(job)
    await filtered.finished
  } catch (error) {
    filtered.stop()
    throw error
  }
  await synced(fd, path)
}

async function checkFormat({ qmp }: QemuDomain, name: string): Promise<void> {
  const { formats } = await qmp.execute<{ formats: string[] }>('query-dump-guest-memory-capability')
  if (formats.includes(name)) return
  throw fail('VIR_ERR_INVALID_ARG', `unsupported dumpformat '${name}' for this QEMU binary`)
}

async function startDump({ qmp }: QemuDomain, fd: number, format: string | undefined): Promise<void> {
  await qmp.passFile(FD_NAME, passableDescriptor(fd))
  try {
    const what = { paging: false, protocol: `fd:${FD_NAME}`, detach: true, ...(format !== undefined && { format }) }
    await qmp.execute('dump-guest-memory', what)
  } catch (error) {
    await qmp.execute('closefd', { fdname: FD_NAME }).catch(() => undefined)
    throw error
  }
}

/** What cannot be synced, as a pipe, need not be. */
const UNSYNCED = ['EINVAL', 'EROFS']

async function synced(fd: number, path: string): Promise<void> {
  try {
    await promisify(fdatasync)(fd)
  } catch (error) {
    if (!UNSYNCED.includes((error as NodeJS.ErrnoException).code ?? '')) {
      throw systemError('VIR_FROM_QEMU', `unable to fsync ${path}`, error)
    }
  }
}
